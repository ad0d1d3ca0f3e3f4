"""Which partitions are ours: by the group's word, or by a fixed rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from bridge.sources.kafka_holdings import Holdings
    from bridge.sources.kafka_settings import KafkaSettings

RELEASE_SHARE = 0.8  # of the rebalance time may be used up by what is in flight


async def follow(consumer: AIOKafkaConsumer, settings: KafkaSettings, holdings: Holdings) -> None:
    """Let the holdings of a started consumer follow the assignment, from now on."""
    if settings.assign is not None:
        # Fresh metadata first: aiokafka's coordination ends with an assertion where one assignment follows another
        # while it still looks for its coordinator.
        await consumer._client.set_topics(settings.topics)  # noqa: SLF001  metadata has no public way
        _Fixed(consumer, settings, holdings).update()
        return
    returning = None if settings.group_instance_id is None else _Returning(consumer)
    listener = _Listener(holdings, settings.rebalance_timeout_seconds * RELEASE_SHARE, returning)
    if settings.pattern is None:
        consumer.subscribe(topics=settings.topics, listener=listener)
    else:
        consumer.subscribe(pattern=settings.pattern, listener=listener)


def matching(settings: KafkaSettings, topics: Iterable[str]) -> set[str]:
    """Those of the cluster's topics that the settings name."""
    if settings.pattern is None:
        return set(topics) & set(settings.topics)
    return set(filter(re.compile(settings.pattern).match, topics))


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka publishes no types
    """The group's word. Rebalances are eager: everything is revoked, then everything is assigned."""

    def __init__(self, holdings: Holdings, release_seconds: float, returning: _Returning | None) -> None:
        self._holdings = holdings
        self._release_seconds = release_seconds
        self._returning = returning

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Heartbeats go on meanwhile, and the group waits for us up to its rebalance time."""
        await self._holdings.release(revoked, self._release_seconds)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Heartbeats begin again only after this."""
        self._holdings.assigned(assigned)
        if self._returning is not None:
            self._returning.assigned(assigned)


class _Returning:
    """Lets new partitions be given out where a static member comes back to what it had.

    The group's leader gives them out. aiokafka takes itself for the leader after a rebalance only, and a static member
    that comes back causes none: then nobody would look for new partitions, and nobody would read them.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._coordinator = consumer._coordinator  # noqa: SLF001  there is no public way to any of this
        self._subscription = consumer._subscription  # noqa: SLF001
        self._cluster = consumer._client.cluster  # noqa: SLF001
        self._asked = False

    def assigned(self, ours: Collection[TopicPartition]) -> None:
        """The broker takes a rejoin by the leader for a rebalance, and does nothing for that of another member."""
        coordinator = self._coordinator
        if coordinator._group_subscription is not None:  # noqa: SLF001
            return  # it leads, and looks
        topics = set(self._subscription.subscription.topics)
        coordinator._group_subscription = topics  # noqa: SLF001  from now on it looks
        coordinator._metadata_snapshot = coordinator._get_metadata_snapshot()  # noqa: SLF001
        there = {TopicPartition(topic, p) for topic in topics for p in self._cluster.partitions_for_topic(topic) or ()}
        if not self._asked and there - set(ours):  # new ones, or those of other members
            self._asked = True
            coordinator.request_rejoin()


class _Fixed:
    """Partition p belongs to the replica p mod of; new partitions are taken as the metadata shows them."""

    def __init__(self, consumer: AIOKafkaConsumer, settings: KafkaSettings, holdings: Holdings) -> None:
        self._consumer = consumer
        self._settings = settings
        self._holdings = holdings
        self._ours: frozenset[TopicPartition] | None = None
        self._client = consumer._client  # noqa: SLF001  metadata has no public listener
        self._client.cluster.add_listener(self.update)

    def update(self, _cluster: Any = None) -> None:  # noqa: ANN401  aiokafka publishes no types
        """Compare what is ours by the metadata with what we hold."""
        ours = frozenset(self._wanted())
        if ours == self._ours:
            return
        if gone := (self._ours or frozenset()) - ours:
            self._holdings.gone |= gone
            return
        kept = (self._ours or frozenset()) & ours & self._holdings.commits.held
        self._ours = ours
        self._consumer.assign(list(ours))
        # `assign` narrows the metadata to the topics of these partitions; new ones have to stay visible.
        self._client.set_topics(self._settings.topics)
        self._holdings.assigned(ours, kept)

    def _wanted(self) -> Iterable[TopicPartition]:
        assign, cluster = self._settings.assign, self._client.cluster
        if assign is None:
            return
        for topic in matching(self._settings, cluster.topics()):
            for number in cluster.partitions_for_topic(topic) or ():
                if number % assign.of == assign.index:
                    yield TopicPartition(topic, number)
