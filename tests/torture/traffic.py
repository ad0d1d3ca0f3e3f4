"""Messages for one bridge, confirmed by their brokers and written into its ledger: orders, their steps, nonsense."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aio_pika
import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.torture.ledger import Sent

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.services.kafka_cluster import KafkaCluster
    from tests.services.rabbitmq import RabbitServer
    from tests.torture.ledger import Key, Ledger

PARTITIONS = 4
STEPS = 4  # events of an order
OPEN_ORDERS = 30
FULFIL, SIGNALLED, AUDIT = "fulfil", "signalled", "audit"
CONFIRM_SECONDS = 5.0
BAD = b"bad "  # then its name
RULES: list[dict[str, Any]] = [
    {
        "name": "order",
        "when": 'body.type == "order"',
        "create": {"workflow": FULFIL, "id": "${body.id}", "params": {"id": "${body.id}"}},
    },
    {
        "name": "audit",  # without an id: made from the message's identity
        "when": 'body.type == "order" && body.audited',
        "create": {"workflow": AUDIT, "params": {"audited": "${body.id}"}},
    },
    {
        "name": "step",
        "when": 'body.type == "step"',
        "event": {
            "workflow": FULFIL,
            "id": "${body.id}",
            "type": "step",
            "payload": {"id": "${body.id}", "seq": "${body.seq}"},
        },
    },
    {
        "name": "signal",
        "when": 'body.type == "signal"',
        "event": {
            "workflow": SIGNALLED,
            "id": "${body.id}",
            "type": "step",
            "payload": {"id": "${body.id}", "seq": "${body.seq}"},
            "if_missing": "create",
            "create": {"params": {"id": "${body.id}"}},
        },
    },
    {
        "name": "solo",
        "when": 'body.type == "solo"',
        "create": {"workflow": FULFIL, "id": "${body.id}", "params": {"id": "${body.id}"}},
    },
]


def body_of(sent: Sent) -> bytes:
    """What is published; a bad message is no JSON."""
    if sent.kind == "bad":
        return BAD + sent.id.encode()
    return orjson.dumps({"type": sent.kind, "id": sent.id, "seq": sent.seq, "audited": sent.audited})


def key_of(body: bytes | None) -> Key:
    """Which message it was, by the original in its dead letter."""
    assert body is not None
    if body.startswith(BAD):
        return body.removeprefix(BAD).decode(), 0
    said = orjson.loads(body)
    return said["id"], said["seq"]


class Stories:
    """The next message, forever: orders in all states, one step at a time. Chance comes from the seed."""

    def __init__(self, prefix: str, rng: Random) -> None:
        """prefix: of the ids."""
        self._prefix = prefix
        self._rng = rng
        self._made = 0
        self._open: list[list[Sent]] = []  # of each order what is still to be sent, in order

    def next(self) -> Sent:
        """Of an open order, or the first of a new one."""
        if len(self._open) < OPEN_ORDERS:
            self._open.append(self._story())
        story = self._rng.choice(self._open)
        sent = story.pop(0)
        if not story:
            self._open.remove(story)
        return sent

    def _story(self) -> list[Sent]:
        self._made += 1
        name, dice = f"{self._prefix}{self._made}", self._rng.random()
        if dice < 0.03:
            return [Sent("bad", name)]
        if dice < 0.15:
            return [Sent("signal", name, seq) for seq in range(1, STEPS + 1)]
        order = Sent("order", name, audited=self._made % 3 == 0)
        steps = [Sent("step", name, seq) for seq in range(1, STEPS + 1)]
        return [steps[0], order, *steps[1:]] if dice < 0.25 else [order, *steps]


class Traffic:
    """Publishes until it is stopped: one message after the other at each broker, so that their order is known."""

    def __init__(self, ledger: Ledger, prefix: str, rng: Random, pause_seconds: float) -> None:
        self._ledger = ledger
        self._prefix = prefix
        self._rng = rng
        self.pause_seconds = pause_seconds
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, kafka: KafkaCluster, topics: tuple[str, str], rabbit: RabbitServer, queue: str) -> None:
        """topics: the one of the orders, and the one that gets partitions."""
        stories = Stories(f"{self._prefix}k", self._rng), Stories(f"{self._prefix}r", self._rng)
        self._tasks = [
            asyncio.create_task(self._to_kafka(kafka, topics, stories[0])),
            asyncio.create_task(self._to_rabbit(rabbit, queue, stories[1])),
        ]

    async def stop(self) -> None:
        """Everything that was sent is in the ledger."""
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _to_kafka(self, kafka: KafkaCluster, topics: tuple[str, str], stories: Stories) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all", enable_idempotence=True)
        solos = 0
        async with producer:
            while True:
                if self._rng.random() < 0.1:
                    solos += 1
                    await self._produce(producer, topics[1], Sent("solo", f"{self._prefix}s{solos}"))
                else:
                    await self._produce(producer, topics[0], stories.next())
                await asyncio.sleep(self.pause_seconds)

    async def _produce(self, producer: AIOKafkaProducer, topic: str, sent: Sent) -> None:
        """Until the broker has it. What it may have had before without our knowing it may come twice."""
        orders = sent.kind != "solo"
        partition = sum(sent.id.encode()) % PARTITIONS if orders else None

        async def once() -> None:
            record = await producer.send_and_wait(topic, body_of(sent), key=sent.id.encode(), partition=partition)
            place = (record.partition, record.offset) if orders else (-1, -1)
            self._ledger.sent.append(Sent(*sent[:4], *place))

        await self._until_it_is_there(once, sent, (KafkaError, OSError))

    async def _to_rabbit(self, rabbit: RabbitServer, queue: str, stories: Stories) -> None:
        sent = stories.next()
        while True:
            try:
                async with rabbit.channel() as channel:
                    while True:
                        await self._publish(channel, queue, sent)
                        sent = stories.next()
                        await asyncio.sleep(self.pause_seconds)
            except (aio_pika.exceptions.AMQPError, OSError, RuntimeError):  # a closed channel is the last one
                self._ledger.twice.add((sent.id, sent.seq))
                await asyncio.sleep(0.2)

    async def _publish(self, channel: aio_pika.abc.AbstractChannel, queue: str, sent: Sent) -> None:
        body = body_of(sent)
        name = f"{sent.kind}-{sent.id}-{sent.seq}"
        message = aio_pika.Message(body, message_id=name, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        publishing = asyncio.ensure_future(channel.default_exchange.publish(message, queue, timeout=CONFIRM_SECONDS))
        try:
            await asyncio.shield(publishing)
        except asyncio.CancelledError:
            await asyncio.wait([publishing])
            if publishing.exception() is None:
                self._ledger.sent.append(sent)
            raise
        self._ledger.sent.append(sent)

    async def _until_it_is_there(
        self, once: Callable[[], Any], sent: Sent, failures: tuple[type[Exception], ...]
    ) -> None:
        """A cancellation waits for the message that is under way, so that the ledger has it."""
        while True:
            sending = asyncio.ensure_future(once())
            try:
                await asyncio.shield(sending)
            except asyncio.CancelledError:
                await asyncio.wait([sending])
                raise
            except failures:
                self._ledger.twice.add((sent.id, sent.seq))
                await asyncio.sleep(0.2)
            else:
                return
