"""Reads Kafka's records from a place that is named, in no group: nothing is joined, and nothing committed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bridge.errors import RecordMissing, SourceLost
from bridge.sources.kafka_connection import client_options, consumer_options, diagnose, explain, make_consumer
from bridge.sources.kafka_health import stop
from bridge.sources.kafka_membership import matching
from bridge.sources.kafka_records import Makers, build_in_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bridge.message import Message
    from bridge.sources.kafka_settings import KafkaSettings

POLL_SECONDS = 0.25
_FAILURES = (KafkaError, OSError, TimeoutError)


class KafkaReader:
    """The topics of a source, from any place on. Every method raises SourceLost."""

    def __init__(self, name: str, settings: KafkaSettings, most: int) -> None:
        """most: messages that are given at once, at least 1."""
        self._most = min(most, settings.fetch.max_records)
        self.name = name
        self._settings = settings
        self._makers = Makers(name)
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: list[TopicPartition] = []

    async def open(self) -> None:
        """Connect, and look for the partitions."""
        try:
            options = consumer_options(self._settings) | {"group_id": None, "group_instance_id": None}
            consumer = self._consumer = make_consumer(options)
            async with asyncio.timeout(self._settings.lost_after_seconds):
                await consumer.start()
                cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001  no public way to all partitions
        except _FAILURES as error:
            await self.close()
            raise SourceLost(f"{self.name}: {await self._reason(error)}") from error
        topics = matching(self._settings, cluster.topics())
        if missing := set(self._settings.topics) - topics:
            raise SourceLost(f"{self.name}: no such topic, or it may not be read: {', '.join(sorted(missing))}")
        build_in_place(consumer, self._makers)
        found = ((topic, number) for topic in topics for number in cluster.partitions_for_topic(topic) or ())
        self._partitions = sorted(TopicPartition(topic, number) for topic, number in found)

    async def begin(self, at: str | int) -> None:
        """Read all partitions from here on. at: earliest, latest, committed (by the source's group), or epoch ms."""
        consumer = self._open()
        try:
            consumer.assign(self._partitions)
            for partition, offset in (await self._offsets(consumer, at)).items():
                consumer.seek(partition, offset)
        except _FAILURES as error:
            raise SourceLost(f"{self.name}: {explain(error)}") from error

    async def receive(self) -> Sequence[Message]:
        """What has arrived, nothing after a while without any."""
        try:
            records = await self._open().getmany(timeout_ms=int(POLL_SECONDS * 1000), max_records=self._most)
        except _FAILURES as error:
            raise SourceLost(f"{self.name}: {explain(error)}") from error
        return [message for partition, some in records.items() for message in self._makers.messages(partition, some)]

    async def at(self, topic: str, partition: int, offset: int) -> Message:
        """One record. Raises RecordMissing where there is none, saying which there are."""
        place, consumer = TopicPartition(topic, partition), self._open()
        if place not in self._partitions:
            listed = ", ".join(f"{known.topic}/{known.partition}" for known in self._partitions)
            raise RecordMissing(f"{self.name} reads no partition {topic}/{partition}; there are {listed}")
        try:
            consumer.assign([place])
            first = (await consumer.beginning_offsets([place]))[place]
            end = (await consumer.end_offsets([place]))[place]
            if not first <= offset < end:
                held = f"offsets {first} to {end - 1}" if end > first else "no records"
                raise RecordMissing(f"{topic}/{partition} has {held}, and not {offset}")
            consumer.seek(place, offset)
            async with asyncio.timeout(self._settings.lost_after_seconds):
                record = await consumer.getone(place)
        except _FAILURES as error:
            raise SourceLost(f"{self.name}: {explain(error)}") from error
        message: Message = self._makers.messages(place, [record])[0]
        if message.attributes["offset"] != offset:
            raise RecordMissing(
                f"{topic}/{partition} has no record at {offset} (compacted away, or the end of a transaction); "
                f"the next is at {message.attributes['offset']}"
            )
        return message

    async def close(self) -> None:
        """Let go of the brokers. May be called more than once."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop(consumer)

    def _open(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise SourceLost(f"{self.name} is closed")
        return self._consumer

    async def _offsets(self, consumer: AIOKafkaConsumer, at: str | int) -> Mapping[TopicPartition, int]:
        """Where to begin; an end where there is nothing from there on."""
        first: dict[TopicPartition, int] = await consumer.beginning_offsets(self._partitions)
        if at == "earliest":
            return first
        end: dict[TopicPartition, int] = await consumer.end_offsets(self._partitions)
        if at == "latest":
            return end
        if at == "committed":
            committed = await self._committed(self._partitions)
            return {place: min(max(committed.get(place, first[place]), first[place]), end[place]) for place in first}
        found = await consumer.offsets_for_times(dict.fromkeys(self._partitions, int(at)))
        return {place: end[place] if found.get(place) is None else found[place].offset for place in end}

    async def _committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The next offsets of the source's group, of those partitions for which it has any."""
        admin = AIOKafkaAdminClient(**client_options(self._settings))
        try:
            await admin.start()
            found = await admin.list_consumer_group_offsets(self._settings.group_id, partitions=list(partitions))
        finally:
            await admin.close()
        return {place: held.offset for place, held in found.items() if held.offset >= 0}

    async def _reason(self, error: BaseException) -> str:
        try:
            async with asyncio.timeout(self._settings.lost_after_seconds):
                return f"no broker lets us in: {await diagnose(self._settings)}"
        except (OSError, TimeoutError):
            return explain(error)
