"""The partitions that one connection holds: from assignment over placement to revocation."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from bridge.errors import BridgeError
from bridge.message import Position
from bridge.sources.kafka_commits import Commits, KafkaBatch, label
from bridge.sources.kafka_health import state_of
from bridge.sources.kafka_offsets import Acks

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from bridge.message import Message, Positions
    from bridge.sources.kafka_placement import Placement

log = structlog.get_logger(__name__)

# From a call's end over its receipt to ``ack`` it is three turns of the loop: a future, the shield round it, the task
# that waits for it. The rest is reserve; a turn costs next to nothing.
ACK_TURNS = 20


class Holdings:
    """Partitions are paused from the moment they are assigned until ``settle`` has found where to begin.

    The source calls ``settle`` from ``receive``, on purpose: whatever was received before has then been handed to the
    outbox, so that ``Positions.stored`` cannot miss a batch that is on its way there.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, positions: Positions, placement: Placement, commits: Commits
    ) -> None:
        self.commits = commits
        self.received_ms: dict[str, int] = {}  # by partition: timestamp of the last message; -1: it had none
        # Fixed ones that the cluster knows no more. Their topic is deleted, or a broker that has just started does not
        # know it yet: either way the outbox has to be told before they are read anew.
        self.gone: frozenset[TopicPartition] = frozenset()
        self._leaving: set[TopicPartition] = set()  # still committed, but nothing of them is taken in any more
        self._changed = asyncio.Event()  # set by each assignment
        self._consumer = consumer
        self._positions = positions
        self._placement = placement
        self._unplaced: frozenset[TopicPartition] = frozenset()
        self._stray: dict[TopicPartition, int] = {}  # positions that the log does not have
        self._generation = 0  # counts assignments, so that a slow placement notices that it is out of date

    def assigned(self, partitions: Collection[TopicPartition], kept: Collection[TopicPartition] = ()) -> None:
        """These are ours now. Those in ``kept`` go on where they are, the others are held until they are placed.

        Does not wait: the group expects heartbeats again only after it.
        """
        self._generation += 1
        self.commits.counts["rebalances"] += 1
        self.commits.held = set(kept)
        self._leaving.clear()
        self._unplaced = frozenset(partitions) - frozenset(kept)
        self._changed.set()
        for partition in partitions:
            if partition in self._unplaced:
                self._consumer.pause(partition)
            # A position of any kind keeps the consumer from looking for one by itself.
            self._consumer.seek(partition, 0 if partition in self._unplaced else self.commits.acks[partition].next)
        names = sorted(map(label, partitions))
        log.info("partitions_assigned", source=self.commits.source, partitions=names)

    @property
    def reading(self) -> set[TopicPartition]:
        """Those whose messages are still to be taken in: held, and not about to be another's."""
        return self.commits.held - self._leaving

    async def release(self, partitions: Collection[TopicPartition], seconds: float) -> None:
        """They are being taken away: let the outbox end what is in flight, commit what is acknowledged."""
        if not partitions:
            return
        self._leaving.update(partitions)
        try:
            await self._let_go(partitions, seconds)
        finally:
            self.commits.held.difference_update(partitions)
            self._leaving.difference_update(partitions)
        log.info("partitions_released", source=self.commits.source, partitions=sorted(map(label, partitions)))

    async def _let_go(self, partitions: Collection[TopicPartition], seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                await self._positions.withdraw(self.commits.source, [label(partition) for partition in partitions])
        except TimeoutError:
            log.warning("withdrawal_unfinished", source=self.commits.source, seconds=seconds)
        except BridgeError as error:
            self.commits.failure = error
        for _ in range(ACK_TURNS):
            # What has just ended is not acknowledged yet, and the next owner would be given it again.
            await asyncio.sleep(0)
        await self.commits.flush(max(deadline - asyncio.get_running_loop().time(), 1.0))

    async def settle(self, seconds: float) -> None:
        """Place what waits for it; where nothing is held, wait a while for an assignment.

        Raises KafkaError, and what the outbox raises.
        """
        if not self.commits.held and not self._unplaced:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
        if self._unplaced:
            await self._place()
        while self._stray:
            await self._lead_back(*self._stray.popitem())

    async def _place(self) -> None:
        """Find where to begin, and begin."""
        generation, partitions = self._generation, self._unplaced
        found = await self._placement.find(self._consumer, partitions)
        if generation != self._generation:
            return
        for partition, (begin, committed) in found.items():
            acks = self.commits.acks.setdefault(partition, Acks(begin.offset, committed))
            acks.moved(begin.offset, committed)
            self._read_from(partition, begin.offset)
        self._unplaced = frozenset()
        self.commits.wake()

    def out_of_range(self, offsets: Mapping[TopicPartition, int]) -> None:
        """The log no longer, or not yet, has these offsets; the next ``settle`` sees to it."""
        self._stray |= offsets

    def batch(self, records: Mapping[TopicPartition, Sequence[Message]]) -> KafkaBatch:
        """What was fetched, noted as given out."""
        messages: list[Message] = []
        positions, parts = {}, []
        for partition, some in records.items():
            messages += some
            last = some[-1]
            timestamp_ms = -1 if last.timestamp_ms is None else last.timestamp_ms
            name = label(partition)
            positions[name] = Position(int(last.attributes["offset"]), timestamp_ms)
            self.received_ms[name] = timestamp_ms
            state = state_of(self._consumer, partition)
            parts.append(
                self.commits.acks[partition].give(positions[name].offset + 1 if state is None else state.position)
            )
        return KafkaBatch(messages, positions, parts, self.commits)

    def lag(self) -> dict[str, int]:
        """Messages not given out yet, by partition, as of the last fetch."""
        states = {partition: state_of(self._consumer, partition) for partition in self.commits.held}
        return {
            label(partition): max(state.highwater - self.commits.acks[partition].next, 0)
            for partition, state in states.items()
            if state is not None and state.highwater is not None
        }

    def tick(self) -> None:
        """While nothing comes: move over what is no message, try again what could not be committed."""
        for partition in self.commits.held:
            state = state_of(self._consumer, partition)
            if state is not None and state.has_valid_position:
                self.commits.acks[partition].passed(state.position)
        self.commits.wake()

    async def _lead_back(self, partition: TopicPartition, offset: int) -> None:
        """The messages from ``offset`` on expired while we were slow, or the topic was made anew."""
        generation = self._generation
        bounds = (await self._placement.bounds(self._consumer, [partition]))[partition]
        if generation != self._generation or partition not in self.commits.held:
            return
        if offset > bounds[1]:
            begin = self._placement.start(partition, bounds)
            self.commits.acks[partition] = Acks(begin, None)
            await self._placement.reset(partition, begin)
        else:
            begin = max(offset, bounds[0])
            self.commits.acks[partition].passed(begin)
            name, count = label(partition), begin - offset
            log.warning("messages_expired", source=self.commits.source, partition=name, count=count)
        if generation == self._generation:
            self._read_from(partition, begin)

    def _read_from(self, partition: TopicPartition, offset: int) -> None:
        self._consumer.seek(partition, offset)
        self._consumer.resume(partition)
        self.commits.held.add(partition)
