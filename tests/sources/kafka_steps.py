"""Steps that tests of the Kafka source share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.sources.subjects import OutboxPositions, receive

if TYPE_CHECKING:
    from bridge.message import Message
    from bridge.sources.kafka import KafkaSource
    from tests.services.kafka import KafkaServer


def values(count: int, start: int = 0, prefix: str = "") -> list[bytes]:
    return [f"{prefix}{number:05d}".encode() for number in range(start, start + count)]


async def run_through(source: KafkaSource, positions: OutboxPositions, count: int) -> list[Message]:
    """Receive so many messages, store their positions, acknowledge them."""
    messages: list[Message] = []
    while len(messages) < count:
        batch = await receive(source)
        positions.store(batch)
        messages += batch.messages
        await batch.ack()
    return messages


async def move_group(server: KafkaServer, topic: str, offset: int) -> None:
    """What an operator does with Kafka's tools while the bridge is down."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=server.bootstrap, group_id=f"group-of-{topic}", enable_auto_commit=False
    )
    partition = TopicPartition(topic, 0)
    async with consumer:
        consumer.assign([partition])
        await consumer.commit({partition: offset})


async def committed(server: KafkaServer, topic: str, partition: int = 0) -> int | None:
    """The group's next offset by the broker's word."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=server.bootstrap, group_id=f"group-of-{topic}", enable_auto_commit=False
    )
    async with consumer:
        offset: int | None = await consumer.committed(TopicPartition(topic, partition))
        return offset


async def is_committed(server: KafkaServer, topic: str, offset: int) -> bool:
    return await committed(server, topic) == offset
