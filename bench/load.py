"""The messages of the benchmark and the brokers that hold them before a scene starts."""

from __future__ import annotations

import asyncio

import orjson
from aio_pika import DeliveryMode, Message, connect
from confluent_kafka import Producer

PARTITIONS = 6
TYPES = 20
WARM = (
    *("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-Xshare:auto"),  # both compiler tiers: this one runs for a while
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


def body(number: int) -> bytes:
    """About 300 bytes: an order."""
    items = [{"sku": f"sku-{(number + i) % 1000:04}", "qty": i + 1, "price": 9.5 + i} for i in range(3)]
    customer = {"id": f"c-{number % 5000:06}", "email": f"user{number % 5000:06}@example.com"}
    order = {"order_id": f"{number:08}", "type": f"type-{number % TYPES}", "customer": customer}
    return orjson.dumps({**order, "kind": f"kind-{number % 200}", "total": 12.5 + number % 100, "items": items})


def fill_topic(bootstrap: str, topic: str, count: int) -> None:
    """Produce the messages, keyed by order."""
    settings = {"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000}
    producer = Producer({**settings, "acks": "all"})
    for number in range(count):
        producer.produce(topic, body(number), f"{number:08}")
        if number % 1000 == 0:
            producer.poll(0)
    if producer.flush(120):
        raise RuntimeError("the broker did not take all messages")


async def fill_queue(url: str, queue: str, count: int) -> None:
    """Declare a durable classic queue and publish the messages; returns when the queue has them all."""
    connection = await connect(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.declare_queue(queue, durable=True)
        for number in range(count):
            message = Message(body(number), message_id=f"m-{number:08}", delivery_mode=DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, queue)
        while (await channel.declare_queue(queue, passive=True)).declaration_result.message_count < count:
            await asyncio.sleep(0.1)
