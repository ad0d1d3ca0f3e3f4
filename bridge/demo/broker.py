"""A Kafka broker inside this process: librdkafka's mock cluster, which speaks the real protocol on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from bridge.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_EVERY = 100  # messages; deliveries are reported from within poll


class EmbeddedBroker:
    """Keeps everything in memory, and a bounded part of each partition: for a demo, not for data."""

    def __init__(self) -> None:
        """Raises ConfigError when the extra is not installed."""
        try:
            from confluent_kafka import Producer  # noqa: PLC0415  an extra that only the demo needs
        except ImportError:
            raise ConfigError([Problem("", "the demo needs an extra: pip install 'workflow-bridge[demo]'")]) from None
        # The mock cluster lives and dies with this producer, and takes the place of whatever servers are named.
        # Level 3 is errors only: it announces itself otherwise.
        mock = {"bootstrap.servers": "embedded", "test.mock.num.brokers": 1, "log_level": 3}
        self._producer = Producer({**mock, "linger.ms": 0})
        self._since_poll = 0

    @property
    def bootstrap(self) -> str:
        """Where clients connect: "host:port"."""
        brokers = self._producer.list_topics(timeout=10).brokers.values()
        return ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def create_topic(self, topic: str) -> None:
        """Asking for a topic makes it, with four partitions."""
        self._producer.list_topics(topic, timeout=10)

    def produce(self, topic: str, key: str, body: bytes, on_delivery: Callable[[object, object], None]) -> None:
        """Send one message; ``on_delivery`` is called with (error or None, message)."""
        self._producer.produce(topic, body, key, on_delivery=on_delivery)
        self._since_poll += 1
        if self._since_poll >= POLL_EVERY:
            self._since_poll = 0
            self._producer.poll(0)

    def flush(self) -> int:
        """Wait up to 10 s for what is under way; returns how many messages are not delivered."""
        return int(self._producer.flush(10))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.purge()
        self._producer.flush(1)
