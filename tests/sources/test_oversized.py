"""Messages that are larger than they may be, on real brokers: what is kept of them, and that the others come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer

from bridge.admission import HEAD_BYTES, Admission, is_cut
from bridge.sources.kafka import KafkaSource
from bridge.sources.kafka_settings import KafkaFetch
from bridge.sources.rabbitmq import RabbitSource
from tests.sources.subjects import OutboxPositions, bodies, collect, kafka_settings, rabbit_settings, receive

if TYPE_CHECKING:
    from bridge.message import Message
    from tests.services.kafka import KafkaServer
    from tests.services.rabbitmq import RabbitServer

MIB = 1024 * 1024
LARGE = b"head" + b"x" * (3 * MIB)


@pytest.mark.kafka
async def test_a_record_larger_than_any_fetch_still_comes(kafka: KafkaServer) -> None:
    """The broker gives it alone, whatever the fetch says; so it is judged, and what is behind it is not held up."""
    topic = await kafka.topic(1, **{"max.message.bytes": str(8 * MIB)})
    sent = [b"first", LARGE, b"second"]
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, max_request_size=8 * MIB) as producer:
        for body in sent:
            await producer.send_and_wait(topic, body, b"key", partition=0)
    fetch = KafkaFetch(max_wait_ms=50, max_bytes=1024, max_partition_bytes=1024)
    source = KafkaSource("orders", kafka_settings(kafka, topic, fetch=fetch), OutboxPositions())
    await source.open()
    messages = await collect(source, 3)
    await source.close()
    assert bodies(messages) == sent
    fit, rejected = Admission(MIB).sized(messages, sum(len(body) for body in sent))
    assert bodies(fit) == [b"first", b"second"]
    (kept,) = [one.message for one in rejected]
    assert (kept.body, kept.key, kept.id) == (LARGE[:HEAD_BYTES], b"key", f"{topic}/0/1")
    assert kept.attributes == {"partition": 0, "offset": 1, "body_bytes": len(LARGE)}


async def taken(source: RabbitSource, count: int) -> list[Message]:
    """So many messages, each batch acknowledged; a message that is too large is alone in its batch."""
    messages: list[Message] = []
    while len(messages) < count:
        batch = await receive(source)
        assert len(batch.messages) == 1 or not any(map(is_cut, batch.messages))
        messages += batch.messages
        await batch.ack()
    return messages


async def declare(server: RabbitServer, name: str, kind: str, **arguments: Any) -> None:
    async with server.channel() as channel:
        await channel.declare_queue(name, durable=True, arguments={"x-queue-type": kind, **arguments})


@pytest.mark.rabbitmq
@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_a_dead_letter_exchange_keeps_the_whole(rabbitmq: RabbitServer, kind: str) -> None:
    """The bridge holds no more of it than may be; the broker is told to reject it, and nothing else."""
    dead = await rabbitmq.queue()
    queue = f"{dead}-source"
    to_dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    await declare(rabbitmq, queue, kind, **to_dead)
    source = RabbitSource("orders", rabbit_settings(rabbitmq, queue, max_message_bytes=1024))
    await source.open()
    for body in (b"1", LARGE, b"2", b"x" * 1024, LARGE, b"3"):
        await rabbitmq.publish(queue, [body])
    messages = await taken(source, 6)
    assert bodies(messages) == [b"1", LARGE[:1025], b"2", b"x" * 1024, LARGE[:1025], b"3"]
    assert [message.attributes.get("body_bytes") for message in messages] == [
        None,
        len(LARGE),
        None,
        None,
        len(LARGE),
        None,
    ]
    await rabbitmq.publish(queue, [b"after"])
    assert bodies(await taken(source, 1)) == [b"after"]
    await source.close()
    buried = RabbitSource("dead", rabbit_settings(rabbitmq, dead))
    await buried.open()
    assert bodies(await taken(buried, 2)) == [LARGE, LARGE]
    await buried.close()
    await source.open()  # nothing is left in the queue
    await rabbitmq.publish(queue, [b"last"])
    assert bodies(await taken(source, 1)) == [b"last"]
    await source.close()


@pytest.mark.rabbitmq
async def test_what_a_dead_letter_exchange_brings_back_goes_round_once(rabbitmq: RabbitServer) -> None:
    """A queue whose rejected messages return to it, as for retries with a pause, does not turn for ever."""
    queue = f"{await rabbitmq.queue()}-round"
    back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
    await declare(rabbitmq, queue, "classic", **back)
    source = RabbitSource("orders", rabbit_settings(rabbitmq, queue, max_message_bytes=1024))
    await source.open()
    await rabbitmq.publish(queue, [LARGE])
    assert [is_cut(message) for message in await taken(source, 2)] == [True, True]
    await rabbitmq.publish(queue, [b"after"])
    assert bodies(await taken(source, 1)) == [b"after"]
    await source.close()
