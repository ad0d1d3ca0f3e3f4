"""Commits of one consumer: coalesced, one at a time, only the unbroken prefix of what is acknowledged."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from bridge.errors import BridgeError, SourceLost
from bridge.sources.kafka_connection import explain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from bridge.message import Message, Position, Positions
    from bridge.sources.kafka_offsets import Acks, Part

# What is acknowledged within this time is one commit. Nobody waits for it: after a crash the outbox knows better than
# the broker, or the broker gives a little more again. At once it would cost each message of a slow topic a commit, and
# take the event loop's time just when the message is on its way.
GATHER_SECONDS = 0.05

log = structlog.get_logger(__name__)


def label(partition: TopicPartition) -> str:
    """The name by which the outbox knows a partition."""
    return f"{partition.topic}/{partition.partition}"


class KafkaBatch:
    """What one fetch gave; see bridge.sources.base.Batch."""

    __slots__ = ("_commits", "_parts", "messages", "positions")

    def __init__(
        self, messages: Sequence[Message], positions: Mapping[str, Position], parts: Sequence[Part], commits: Commits
    ) -> None:
        self.messages = messages
        self.positions = positions
        self._parts = parts
        self._commits = commits

    async def ack(self) -> None:
        """Commits soon, in the background, what this completes."""
        for part in self._parts:
            part.done = True
        self._commits.wake()


class Commits:
    """The acknowledged offsets of the partitions that a consumer holds, on their way to the broker.

    failure: why the source cannot go on, found here in the background; the next ``receive`` raises it.
    """

    def __init__(
        self,
        source: str,
        consumer: AIOKafkaConsumer,
        positions: Positions,
        limit_seconds: float,
        counts: dict[str, int],
    ) -> None:
        """counts: the source's own."""
        self.counts = counts
        self.acks: dict[TopicPartition, Acks] = {}
        self.held: set[TopicPartition] = set()  # assigned to us, and reading goes on
        self.failure: BridgeError | None = None
        self.source = source
        self._consumer = consumer
        self._positions = positions
        self._limit_seconds = limit_seconds
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()  # somebody waits for the commit

    def wake(self) -> None:
        """Begin to commit, unless there is nothing to commit or a commit is under way (which sees to the rest)."""
        if (self._task is None or self._task.done()) and self.failure is None and self._due():
            self._task = asyncio.create_task(self._run(), name=f"commits of {self.source}")

    async def flush(self, seconds: float) -> None:
        """Wait, but not longer than this, until everything that is acknowledged is committed."""
        self._hurry.set()
        self.wake()
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=seconds)
        self._hurry.clear()

    async def stop(self) -> None:
        """Commit nothing more."""
        self.held.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _due(self) -> dict[TopicPartition, int]:
        due = ((partition, self.acks[partition].due()) for partition in self.held)
        return {partition: offset for partition, offset in due if offset is not None}

    async def _run(self) -> None:
        try:
            while self._due():
                with suppress(TimeoutError):
                    async with asyncio.timeout(GATHER_SECONDS):
                        await self._hurry.wait()
                due = self._due()  # what is not held any more is not committed
                if not due or not await self._commit(due):
                    return
        except BridgeError as error:
            self.failure = error

    async def _commit(self, due: dict[TopicPartition, Any]) -> bool:
        """Whether the broker took it. Raises SourceLost, or what the outbox raises."""
        try:
            async with asyncio.timeout(self._limit_seconds):
                await self._consumer.commit(due)
        except (CommitFailedError, IllegalStateError) as error:
            # The group moved on without us. We will be told of the new assignment; the acks keep until then.
            log.info("commit_refused", source=self.source, reason=explain(error))
            return False
        except (KafkaError, TimeoutError) as error:
            raise SourceLost(f"offsets of {self.source} cannot be committed: {explain(error)}") from error
        self.counts["commits"] += 1
        for partition, offset in due.items():
            self.acks[partition].committed = offset
        await self._positions.committed(self.source, {label(partition): due[partition] for partition in due})
        return True
