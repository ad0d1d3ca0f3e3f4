"""A source of messages from Kafka topics; the parts of it have files of their own, ``kafka_*``."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from bridge.errors import SourceLost
from bridge.sources.base import COUNTS
from bridge.sources.kafka_commits import Commits, KafkaBatch, label
from bridge.sources.kafka_connection import consumer_options, diagnose, explain, make_consumer
from bridge.sources.kafka_health import Pulse, standing, stop
from bridge.sources.kafka_holdings import Holdings
from bridge.sources.kafka_membership import follow, matching
from bridge.sources.kafka_placement import Placement
from bridge.sources.kafka_records import Makers, build_in_place

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from bridge.message import Message, Positions
    from bridge.sources.kafka_settings import KafkaSettings
    from bridge.sources.progress import Standing

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.25  # how often a waiting ``receive`` looks around
CLOSE_SECONDS = 10.0  # the longest that calls in flight may hold up ``close``


class KafkaSource:
    """A consumer of topics; see bridge.sources.base.Source for the contract."""

    def __init__(self, name: str, settings: KafkaSettings, positions: Positions) -> None:
        self.name = name
        self._settings = settings
        self._positions = positions
        self._counts = dict.fromkeys(COUNTS, 0)
        self._placement = Placement(name, settings, positions, self._counts)
        self._makers = Makers(name)
        self._link: _Link | None = None

    @property
    def connected(self) -> bool:
        """Between a successful ``open`` and ``close``."""
        return self._link is not None

    @property
    def assigned(self) -> Collection[str]:
        """The partitions that this source reads now, as "topic/partition"."""
        return [label(partition) for partition in self._link.holdings.reading] if self._link else []

    @property
    def lag(self) -> Mapping[str, int]:
        """Messages not received yet, by partition, as of the last fetch; a snapshot that asks nobody."""
        return self._link.holdings.lag() if self._link else {}

    @property
    def received_ms(self) -> Mapping[str, int]:
        """Timestamp of the last message received, by partition; -1: it had none."""
        return self._link.holdings.received_ms if self._link else {}

    @property
    def counts(self) -> Mapping[str, int]:
        """All of COUNTS."""
        return self._counts

    async def standing(self) -> Mapping[str, Standing]:
        """By the brokers' word: where a fetch does not go on, what it said last is no news."""
        link = self._link
        if link is None:
            return {}
        try:
            async with asyncio.timeout(self._settings.lost_after_seconds):
                return await standing(link.consumer, link.holdings.commits.held)
        except (KafkaError, TimeoutError):
            return {}

    async def open(self) -> None:
        """Connect and subscribe. Raises SourceLost."""
        consumer = make_consumer(self._options())
        try:
            async with asyncio.timeout(self._settings.lost_after_seconds):
                await self._connect(consumer)
        except BaseException as error:
            await stop(consumer)
            if isinstance(error, KafkaError | OSError | TimeoutError):
                raise SourceLost(f"{self.name}: {await self._reason(error)}") from error
            raise

    async def receive(self) -> KafkaBatch:
        """The next messages of all partitions that have some. Raises SourceLost, and what the outbox raises."""
        link = self._living_link()
        link.pulse.restart()
        while True:
            try:
                async with asyncio.timeout(self._settings.lost_after_seconds) as link.scope:
                    await link.holdings.settle(POLL_SECONDS)
                    records = await self._fetch(link.consumer)
                if records:
                    return link.holdings.batch(records)
                link.holdings.tick()
                await link.pulse.check()
            except OffsetOutOfRangeError as error:
                link.holdings.out_of_range(error.args[0])
            except (IllegalStateError, NoOffsetForPartitionError, AssertionError) as error:
                # The assignment changed in between; the next round sees the new one. The client asserts that there is
                # one at all, and there is none while a pattern's topics change.
                log.debug("assignment_changed", source=self.name, reason=explain(error))
            except (KafkaError, ConsumerStoppedError, TimeoutError, UnicodeDecodeError) as error:
                reason = explain(error) if self._link is link else "closed"
                raise SourceLost(f"{self.name}: {reason}") from error
            link = self._living_link()

    async def close(self) -> None:
        """Commit what is acknowledged and leave the group."""
        link, self._link = self._link, None
        if link is None:
            return
        link.interrupt()
        seconds = min(CLOSE_SECONDS, self._settings.rebalance_timeout_seconds)
        await link.holdings.release(list(link.holdings.commits.held), seconds)
        await link.holdings.commits.stop()
        await stop(link.consumer)

    def _options(self) -> dict[str, object]:
        try:
            return consumer_options(self._settings)
        except OSError as error:
            raise SourceLost(f"{self.name}: {error}") from error

    async def _connect(self, consumer: AIOKafkaConsumer) -> None:
        await consumer.start()
        cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001  no public way to all partitions
        topics = matching(self._settings, cluster.topics())
        if missing := set(self._settings.topics) - topics:
            raise SourceLost(f"{self.name}: no such topic, or it may not be read: {', '.join(sorted(missing))}")
        await self._placement.sees({topic: frozenset(cluster.partitions_for_topic(topic) or ()) for topic in topics})
        build_in_place(consumer, self._makers)
        commits = Commits(self.name, consumer, self._positions, self._settings.lost_after_seconds, self._counts)
        holdings = Holdings(consumer, self._positions, self._placement, commits)
        await follow(consumer, self._settings, holdings)
        self._link = _Link(consumer, holdings, Pulse(consumer, self._settings, commits))

    async def _fetch(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, Sequence[Message]]:
        """What has arrived, or nothing after a while."""
        try:
            # During a rebalance ``getmany`` waits without end.
            async with asyncio.timeout(2 * POLL_SECONDS):
                records = await consumer.getmany(
                    timeout_ms=int(POLL_SECONDS * 1000), max_records=self._settings.fetch.max_records
                )
        except TimeoutError:
            return {}
        return {partition: self._makers.messages(partition, some) for partition, some in records.items()}

    def _living_link(self) -> _Link:
        link = self._link
        if link is None:
            raise SourceLost(f"{self.name} is closed")
        if link.holdings.commits.failure is not None:
            raise link.holdings.commits.failure
        if gone := sorted(map(label, link.holdings.gone)):
            raise SourceLost(f"{self.name}: the cluster does not know {', '.join(gone)} any more")
        return link

    async def _reason(self, error: Exception) -> str:
        if not isinstance(error, KafkaConnectionError):
            return explain(error)
        try:
            async with asyncio.timeout(self._settings.lost_after_seconds):
                return f"no broker lets us in: {await diagnose(self._settings)}"
        except TimeoutError:
            return "no broker answers"


@dataclass(slots=True)
class _Link:
    """What belongs to one connection and ends with it."""

    consumer: AIOKafkaConsumer
    holdings: Holdings
    pulse: Pulse
    scope: asyncio.Timeout | None = None  # what ``receive`` is waiting in

    def interrupt(self) -> None:
        """Let a waiting ``receive`` end now."""
        if self.scope is not None and not self.scope.expired():
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                self.scope.reschedule(asyncio.get_running_loop().time())
