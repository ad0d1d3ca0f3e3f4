"""Finds where to begin in partitions that were just assigned; the decision itself is in kafka_offsets."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

import structlog

from bridge.errors import SourceLost
from bridge.sources.kafka_commits import label
from bridge.sources.kafka_offsets import Begin, Log, Why, begin

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from bridge.message import Positions, Stored
    from bridge.sources.kafka_settings import KafkaSettings

log = structlog.get_logger(__name__)

RECORD_WAIT_MS = 5000  # how long the record at the last stored offset may take to come
ASKED_AT_ONCE = 100  # partitions whose records are waited for together; each has a buffer until its record is there


class Placement:
    """Asks the outbox, the group and the log where reading goes on."""

    def __init__(self, source: str, settings: KafkaSettings, positions: Positions, counts: dict[str, int]) -> None:
        """counts: the source's own."""
        self._counts = counts
        self._source = source
        self._settings = settings
        self._positions = positions
        self._first_seen: Mapping[str, Collection[int]] | None = None
        self._known_topics: Collection[str] = ()

    async def sees(self, partitions: Mapping[str, Collection[int]]) -> None:
        """The partitions of each topic as the process begins. Only the first call counts."""
        if self._first_seen is not None or self._settings.start_from == "earliest":
            return
        names = [f"{topic}/{number}" for topic, numbers in partitions.items() for number in numbers]
        known = await self._positions.stored(self._source, names)
        self._known_topics = {
            name.rpartition("/")[0]
            for name, stored in known.items()
            if stored.last is not None or stored.committed is not None
        }
        self._first_seen = partitions

    async def find(
        self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, tuple[Begin, int | None]]:
        """Where to begin in each partition, and its committed offset; tells the outbox what it has to know.

        The partitions must be assigned and paused. Raises KafkaError, and SourceLost where the log does not answer.
        """
        names = {label(partition): partition for partition in partitions}
        stored = await self._positions.stored(self._source, names)
        answers = await asyncio.gather(*(consumer.committed(partition) for partition in partitions))
        committed: dict[TopicPartition, int | None] = dict(zip(partitions, answers, strict=True))
        known = {partition: stored[name] for name, partition in names.items()}
        begins = await self._begins(consumer, known, committed)
        await self._tell(stored, {name: (begins[partition], committed[partition]) for name, partition in names.items()})
        return {partition: (begins[partition], committed[partition]) for partition in partitions}

    async def reset(self, partition: TopicPartition, offset: int) -> None:
        """The topic was made anew under us: from now on this is its next offset."""
        log.warning("topic_made_anew", source=self._source, partition=label(partition), offset=offset)
        await self._positions.reset(self._source, {label(partition): offset})

    async def bounds(
        self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, int]]:
        """Start and end of each partition's log."""
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        return {partition: (int(starts[partition]), int(ends[partition])) for partition in partitions}

    def start(self, partition: TopicPartition, bounds: tuple[int, int]) -> int:
        """The offset that ``start_from`` means now.

        A partition that came to a topic which was read before is read from its beginning: its first messages are new.
        """
        earliest, latest = bounds
        seen = (self._first_seen or {}).get(partition.topic, ())
        grown = partition.partition not in seen or partition.topic in self._known_topics
        return earliest if self._settings.start_from == "earliest" or grown else latest

    async def _begins(
        self,
        consumer: AIOKafkaConsumer,
        stored: Mapping[TopicPartition, Stored],
        committed: Mapping[TopicPartition, int | None],
    ) -> dict[TopicPartition, Begin]:
        """Asks about many partitions at once: one after the other, some hundreds took longer than all may take."""
        begins = {p: begin(stored[p], offset, None, 0) for p, offset in committed.items() if offset is not None}
        unknown = [partition for partition, offset in committed.items() if offset is None]
        bounds = await self.bounds(consumer, unknown)
        places = {p: last.offset for p in unknown if (last := stored[p].last) is not None}
        there = {p: offset for p, offset in places.items() if bounds[p][0] <= offset < bounds[p][1]}
        stamps: dict[TopicPartition, int | None] = {}
        for first in range(0, len(there), ASKED_AT_ONCE):
            some = dict(islice(there.items(), first, first + ASKED_AT_ONCE))
            stamps |= await self._timestamps(consumer, some)
        for p in unknown:
            begins[p] = begin(stored[p], None, Log(*bounds[p], stamps.get(p)), self.start(p, bounds[p]))
        return begins

    async def _timestamps(
        self, consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int | None]:
        """Of the records at these offsets; None: there is none.

        Raises SourceLost where one did not come in time, and no word that there is none: a slow broker is no new topic.
        """
        for partition, offset in offsets.items():
            consumer.seek(partition, offset)
            consumer.resume(partition)
        found: dict[TopicPartition, int | None] = {}
        try:
            while waiting := [partition for partition in offsets if partition not in found]:
                records = await consumer.getmany(*waiting, timeout_ms=RECORD_WAIT_MS, max_records=1)
                # Where there are only transaction markers, the answer moves the position.
                moved = [] if records else [p for p in waiting if await consumer.position(p) > offsets[p]]
                if not records and not moved:
                    where = f"{label(waiting[0])}/{offsets[waiting[0]]}"
                    raise SourceLost(f"{self._source}: no answer for the record at {where}")
                for partition in (*records, *moved):
                    found[partition] = _timestamp_at(offsets[partition], records.get(partition, ()))
                    consumer.pause(partition)
                    consumer.seek(partition, offsets[partition])  # empties its buffer
        finally:
            for partition in offsets:
                consumer.pause(partition)
        return found

    async def _tell(self, stored: Mapping[str, Stored], begins: Mapping[str, tuple[Begin, int | None]]) -> None:
        resets = {name: found.offset for name, (found, _) in begins.items() if found.resets}
        news = {
            name: committed
            for name, (_, committed) in begins.items()
            if committed is not None and name not in resets and committed != stored[name].committed
        }
        for name, (found, _) in begins.items():
            if found.why is not Why.COMMITTED:
                event = _EVENTS[found.why]
                log.info(event, source=self._source, partition=name, offset=found.offset)
            if found.why is Why.CRASH_TAIL:
                self._counts["skipped"] += found.offset - (begins[name][1] or 0)
        if resets:
            await self._positions.reset(self._source, resets)
        if news:
            await self._positions.committed(self._source, news)


def _timestamp_at(offset: int, records: Iterable[object]) -> int | None:
    return next((timestamp_ms for place, timestamp_ms in map(_place_of, records) if place == offset), None)


def _place_of(record: object) -> tuple[int, int]:
    """Offset and timestamp of a record, or of the message made of it."""
    attributes = getattr(record, "attributes", None)
    if attributes is not None:
        stamp = getattr(record, "timestamp_ms", None)
        return int(attributes["offset"]), -1 if stamp is None else int(stamp)
    return int(record.offset), int(record.timestamp)  # type: ignore[attr-defined]


_EVENTS = {
    Why.CRASH_TAIL: "stored_messages_skipped",
    Why.WENT_ON: "another_member_went_on",
    Why.REWOUND: "offsets_rewound",
    Why.EXPIRED: "offsets_expired",
    Why.ANEW: "topic_made_anew",
    Why.FIRST: "partition_begun",
}
