"""The brokers under the conformance suite, each behind the same few verbs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

import aio_pika
from aiokafka import AIOKafkaProducer

from bridge.errors import SourceLost
from bridge.message import Position, Stored
from bridge.sources.kafka import KafkaSource
from bridge.sources.kafka_settings import KafkaFetch, KafkaSettings
from bridge.sources.memory import MemoryBroker, MemorySource
from bridge.sources.rabbitmq import RabbitSource
from bridge.sources.rabbitmq_settings import RabbitSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from bridge.message import HeaderValue, Message
    from bridge.sources.base import Batch, Source
    from tests.services.kafka import KafkaServer
    from tests.services.rabbitmq import RabbitServer

LIMIT_SECONDS = 60.0


class Sent(NamedTuple):
    """One message to publish."""

    body: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, HeaderValue]] = ()


class OutboxPositions:
    """Positions as a durable outbox keeps them; a test stores a batch by ``store``."""

    def __init__(self) -> None:
        self.last: dict[str, Position] = {}
        self.next: dict[str, int] = {}
        self.resets: list[Mapping[str, int]] = []
        self.withdrawn: list[set[str]] = []

    def store(self, batch: Batch) -> None:
        """What ``Outbox.add`` does with the positions of a batch."""
        self.last.update(batch.positions)

    async def stored(self, source: str, partitions: Iterable[str]) -> Mapping[str, Stored]:
        """See bridge.sources.base.Positions."""
        del source
        return {name: Stored(self.last.get(name), self.next.get(name)) for name in partitions}

    async def committed(self, source: str, offsets: Mapping[str, int]) -> None:
        """See bridge.sources.base.Positions."""
        del source
        self.next.update(offsets)

    async def reset(self, source: str, offsets: Mapping[str, int]) -> None:
        """See bridge.sources.base.Positions."""
        del source
        self.resets.append(dict(offsets))
        self.next.update(offsets)
        for name in offsets:
            self.last.pop(name, None)

    async def withdraw(self, source: str, partitions: Iterable[str]) -> None:
        """See bridge.sources.base.Positions."""
        del source
        self.withdrawn.append(set(partitions))


class Subject(Protocol):
    """A broker with one fresh topic or queue."""

    has_keys: bool  # keys, tombstones and repeated headers exist here

    def source(self, *, batch: int = 100) -> Source:
        """A consumer with batches of at most this size, going on where the last one left off."""

    async def publish(self, messages: Sequence[Sent]) -> None:
        """Return when the broker has them."""

    def kill(self) -> None:
        """As by SIGKILL."""

    def start(self) -> None:
        """Start again on the same data."""

    def freeze(self) -> None:
        """As by a network that swallows everything: connections stay, nothing answers."""

    def thaw(self) -> None:
        """Answer again."""


class MemorySubject:
    """The in-process broker."""

    has_keys = True

    def __init__(self) -> None:
        self._broker = MemoryBroker()
        self.kill = self.freeze = self._broker.kill
        self.start = self.thaw = self._broker.start

    def source(self, *, batch: int = 100) -> MemorySource:
        """See Subject."""
        return MemorySource("orders", self._broker, batch)

    async def publish(self, messages: Sequence[Sent]) -> None:
        """See Subject."""
        for message in messages:
            self._broker.publish(message.body, message.key, message.headers)


class KafkaSubject:
    """A topic of one partition on a real broker."""

    has_keys = True

    def __init__(self, server: KafkaServer, topic: str) -> None:
        self._server, self._topic = server, topic
        self.kill, self.freeze, self.thaw = server.kill, server.freeze, server.thaw

    def source(self, *, batch: int = 100) -> KafkaSource:
        """See Subject."""
        return KafkaSource("orders", kafka_settings(self._server, self._topic, batch), OutboxPositions())

    async def publish(self, messages: Sequence[Sent]) -> None:
        """See Subject."""
        producer = AIOKafkaProducer(bootstrap_servers=self._server.bootstrap, acks="all", linger_ms=5)
        async with producer:
            sent = [
                await producer.send(
                    self._topic, message.body, message.key, partition=0, headers=list(message.headers) or None
                )
                for message in messages
            ]
            for future in sent:
                await future

    def start(self) -> None:
        """See Subject."""
        self._server.start()


class RabbitSubject:
    """A queue on a real broker."""

    has_keys = False

    def __init__(self, server: RabbitServer, queue: str) -> None:
        self._server, self._queue = server, queue
        self.kill, self.freeze, self.thaw = server.kill, server.freeze, server.thaw

    def source(self, *, batch: int = 100) -> RabbitSource:
        """See Subject."""
        return RabbitSource("orders", rabbit_settings(self._server, self._queue, max_records=batch))

    async def publish(self, messages: Sequence[Sent]) -> None:
        """See Subject."""
        async with self._server.channel() as channel:
            for number, message in enumerate(messages):
                content = aio_pika.Message(
                    message.body or b"",
                    message_id=f"m-{number}",
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    headers=dict(message.headers),
                )
                confirmation = channel.default_exchange.publish(content, self._queue)
                await confirmation

    def start(self) -> None:
        """See Subject."""
        self._server.start()


def kafka_settings(server: KafkaServer, topic: str, batch: int = 100, **changes: object) -> KafkaSettings:
    """For tests: quick to notice things, and a group named after the topic."""
    settings: dict[str, object] = {
        "bootstrap_servers": [server.bootstrap],
        "topics": [topic],
        "group_id": f"group-of-{topic}",
        "fetch": KafkaFetch(max_records=batch, max_wait_ms=50),
        "session_timeout_seconds": 3,
        "rebalance_timeout_seconds": 10,
        "metadata_refresh_seconds": 0.5,
        "lost_after_seconds": 3,
        "request_timeout_seconds": 3,
    }
    return KafkaSettings.model_validate(settings | changes)


def rabbit_settings(server: RabbitServer, *queues: str, **changes: object) -> RabbitSettings:
    """For tests: quick to notice things."""
    settings = {"url": server.url, "queues": list(queues), "timeout_seconds": 5, "heartbeat_seconds": 1}
    return RabbitSettings.model_validate(settings | changes)


async def receive(source: Source) -> Batch:
    """The next batch, within the time limit of a test."""
    async with asyncio.timeout(LIMIT_SECONDS):
        return await source.receive()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that a broker, not we, will do."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not await condition():
            await asyncio.sleep(0.05)


async def collect(source: Source, count: int, *, ack: bool = True) -> list[Message]:
    """Receive at least so many messages."""
    messages: list[Message] = []
    while len(messages) < count:
        batch = await receive(source)
        messages += batch.messages
        if ack:
            await batch.ack()
    return messages


async def open_again(source: Source) -> None:
    """What the supervisor does after SourceLost: close, and open until it works."""
    deadline = time.monotonic() + LIMIT_SECONDS
    await source.close()
    while True:
        try:
            await source.open()
        except SourceLost:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            return


def bodies(messages: Iterable[Message]) -> list[bytes | None]:
    """What was in them."""
    return [message.body for message in messages]


def numbered(count: int, start: int = 0) -> list[Sent]:
    """Messages that are told apart by their bodies."""
    return [Sent(f"{number:06d}".encode()) for number in range(start, start + count)]
