"""Whether a consumer is still alive, which aiokafka does not tell: it tries again without end and in silence."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import KafkaError

from bridge.errors import SourceLost
from bridge.sources.kafka_commits import label
from bridge.sources.progress import Standing

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiokafka import AIOKafkaConsumer, TopicPartition
    from aiokafka.consumer.subscription_state import TopicPartitionState

    from bridge.sources.kafka_commits import Commits
    from bridge.sources.kafka_settings import KafkaSettings

log = structlog.get_logger(__name__)

STOP_SECONDS = 5.0  # the longest that a silent broker may hold up the end of a consumer


class Pulse:
    """Counts the time since the broker's last sign of life while ``receive`` waits for messages.

    A fetch that is answered, even with nothing, is a sign; so is fresh metadata where no partition is being fetched
    (a rebalance, or more members than partitions).
    """

    def __init__(self, consumer: AIOKafkaConsumer, settings: KafkaSettings, commits: Commits) -> None:
        self._consumer = consumer
        self._settings = settings
        self._commits = commits
        self._seen = 0.0  # loop time of the last sign
        self._polled: object = None  # what the consumer said last about its fetches

    def restart(self) -> None:
        """The caller is back after a time in which nobody looked."""
        self._seen = asyncio.get_running_loop().time()

    async def check(self) -> None:
        """Raises SourceLost when the broker has been silent too long, or a topic is gone."""
        limit_seconds = self._settings.lost_after_seconds
        if self._fetched():
            self.restart()
        silent_seconds = asyncio.get_running_loop().time() - self._seen
        if silent_seconds >= limit_seconds / 2 and not self._commits.held and await self._answers(limit_seconds / 2):
            self.restart()
        elif silent_seconds >= limit_seconds:
            raise SourceLost(f"{self._commits.source}: no answer from the broker for {silent_seconds:.0f} seconds")

    def _fetched(self) -> bool:
        """Whether any partition was fetched since the last look."""
        states = {partition: state_of(self._consumer, partition) for partition in self._commits.held}
        polled = {partition: state.timestamp for partition, state in states.items() if state is not None}
        changed = any(polled.values()) and polled != self._polled
        self._polled = polled
        return changed

    async def _answers(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                alive = await self._consumer._client.force_metadata_update()  # noqa: SLF001  no public probe
        except (KafkaError, TimeoutError):
            return False
        self._check_topics()
        return bool(alive)

    def _check_topics(self) -> None:
        gone = [topic for topic in self._settings.topics if not self._consumer.partitions_for_topic(topic)]
        if gone:
            raise SourceLost(f"{self._commits.source}: the topic is gone: {', '.join(gone)}")


def state_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> TopicPartitionState | None:
    """What the consumer knows of a partition; None: it is not assigned.

    Nothing is while the topics of a pattern have changed and the group has not given out their partitions anew. The
    consumer's own methods fail by an assertion then, and ``position`` waits.
    """
    assignment = consumer._subscription.subscription.assignment  # noqa: SLF001  there is no public way
    return None if assignment is None else assignment.state_value(partition)


async def standing(consumer: AIOKafkaConsumer, held: Collection[TopicPartition]) -> dict[str, Standing]:
    """How far each of these is, and how far the brokers would let it go. Raises KafkaError.

    To who reads committed transactions only, the end is where the oldest open one begins.
    """
    ends = await consumer.end_offsets(list(held)) if held else {}
    found = {}
    for partition, end in ends.items():
        state = state_of(consumer, partition) if partition in held else None
        if state is not None and state.has_valid_position:
            found[label(partition)] = Standing(state.position, max(end - state.position, 0))
    return found


async def stop(consumer: AIOKafkaConsumer) -> None:
    """End a consumer, whatever state it is in; never raises and takes a bounded time."""
    # A task of its own: aiokafka's ``stop`` lets the cancellation of its fetches through, as if it were ours.
    stopping = asyncio.create_task(consumer.stop())
    try:
        await asyncio.wait({stopping}, timeout=STOP_SECONDS)
    finally:
        clean = stopping.done() and not stopping.cancelled() and stopping.exception() is None
        stopping.cancel()
        if not clean:
            await _abandon(consumer, stopping)


async def _abandon(consumer: AIOKafkaConsumer, stopping: asyncio.Task[None]) -> None:
    """``stop`` waits for answers of brokers that do not answer: end the tasks and connections without them."""
    owners = (consumer._coordinator, consumer._fetcher, consumer._client)  # noqa: SLF001  there is no public abort
    names = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task", "_fetch_task", "_sync_task")
    tasks = {task for owner in owners for name in names if (task := getattr(owner, name, None)) is not None}
    tasks |= {stopping, *getattr(consumer._fetcher, "_pending_tasks", ())}  # noqa: SLF001  there is no public abort
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=1)
    with contextlib.suppress(Exception):
        async with asyncio.timeout(1):
            await consumer._client.close()  # noqa: SLF001  there is no public abort
