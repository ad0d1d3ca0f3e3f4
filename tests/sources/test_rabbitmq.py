"""What only RabbitMQ has: queues that go away, declarations, prefetch, TLS; on a real broker."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

import aio_pika
import pytest

from bridge.errors import SourceLost
from bridge.sources.rabbitmq import RabbitSource
from bridge.sources.rabbitmq_settings import RabbitSettings
from tests.sources.subjects import (
    LIMIT_SECONDS,
    bodies,
    collect,
    open_again,
    rabbit_settings,
    receive,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.rabbitmq import RabbitServer

pytestmark = pytest.mark.rabbitmq
SOON_SECONDS = 20  # for a busy machine; the client alone would wait for ever


def values(count: int, start: int = 0) -> list[bytes]:
    return [f"{number:05d}".encode() for number in range(start, start + count)]


async def test_what_a_message_carries(rabbitmq: RabbitServer) -> None:
    """Queue, exchange, routing key and properties are attributes; message id and time have places of their own."""
    queue = await rabbitmq.queue()
    await rabbitmq.publish(
        queue, [b"x"], message_id="order-7", content_type="application/json", timestamp=1_800_000_000
    )
    source = RabbitSource("orders", rabbit_settings(rabbitmq, queue))
    await source.open()
    (message,) = await collect(source, 1)
    assert message.id == "order-7"
    assert message.has_identity
    assert not message.redelivered
    assert message.timestamp_ms == 1_800_000_000_000
    assert message.channel == queue
    assert message.attributes == {
        "queue": queue,
        "exchange": "",
        "routing_key": queue,
        "content_type": "application/json",
        "priority": 0,
    }
    assert source.connected
    assert list(source.assigned) == [queue]
    await source.close()
    assert not source.connected


async def test_a_redelivered_message_says_so(rabbitmq: RabbitServer) -> None:
    """The broker's flag comes through: the outbox looks such messages up."""
    queue = await rabbitmq.queue()
    await rabbitmq.publish(queue, [b"x"])
    source = RabbitSource("orders", rabbit_settings(rabbitmq, queue))
    for expected in (False, True):
        await source.open()
        assert [message.redelivered for message in await collect(source, 1, ack=False)] == [expected]
        await source.close()


async def test_a_queue_deleted_under_the_consumer(rabbitmq: RabbitServer) -> None:
    """SourceLost within seconds, where the client alone would wait for ever; declared again, the source comes back."""
    queue = await rabbitmq.queue()
    source = RabbitSource("orders", rabbit_settings(rabbitmq, queue))
    await source.open()
    waiting = asyncio.create_task(receive(source))
    await rabbitmq.delete_queue(queue)
    begin = time.monotonic()
    with pytest.raises(SourceLost, match=queue):
        await waiting
    assert time.monotonic() - begin < SOON_SECONDS
    await source.close()
    with pytest.raises(SourceLost, match=f"no queue '{queue}'"):
        await source.open()
    await rabbitmq.queue(queue)
    await rabbitmq.publish(queue, values(3))
    await open_again(source)
    assert bodies(await collect(source, 3)) == values(3)
    await source.close()


async def test_several_queues(rabbitmq: RabbitServer) -> None:
    """One source reads several queues; acknowledging one's batch leaves the other's messages alone."""
    queues = [await rabbitmq.queue(), await rabbitmq.queue()]
    for queue in queues:
        await rabbitmq.publish(queue, values(50))
    source = RabbitSource("orders", rabbit_settings(rabbitmq, *queues, max_records=10))
    await source.open()
    messages = await collect(source, 100)
    for queue in queues:
        assert [m.body for m in messages if m.attributes["queue"] == queue] == values(50)
    await source.close()


async def test_a_single_active_consumer(rabbitmq: RabbitServer) -> None:
    """Declared so, the queue gives nothing to a second source before the first is gone."""
    settings = rabbit_settings(
        rabbitmq, f"single-{uuid.uuid4().hex[:12]}", declare={"type": "classic"}, single_active_consumer=True
    )
    first, second = RabbitSource("orders", settings), RabbitSource("orders", settings)
    await first.open()
    await second.open()
    await rabbitmq.publish(settings.names[0], values(20))
    assert bodies(await collect(first, 20, ack=False)) == values(20)
    waiting = asyncio.create_task(receive(second))
    await first.close()
    assert bodies((await waiting).messages)[0] == values(20)[0]
    await second.close()


async def test_declare_and_bind(rabbitmq: RabbitServer) -> None:
    """With `declare` the queue is made, with `bind` it hears an exchange."""
    name = f"x-{uuid.uuid4().hex[:12]}"
    async with rabbitmq.channel() as channel:
        exchange = await channel.declare_exchange(name, aio_pika.ExchangeType.TOPIC, durable=True)
        settings = rabbit_settings(
            rabbitmq,
            f"{name}.orders",
            declare={"type": "classic", "arguments": {"x-max-length": 100}},
            bind=[{"exchange": name, "routing_key": "order.*"}],
        )
        source = RabbitSource("orders", settings)
        await source.open()
        await exchange.publish(aio_pika.Message(b"yes"), "order.created")
        await exchange.publish(aio_pika.Message(b"no"), "payment.received", mandatory=False)
        await exchange.publish(aio_pika.Message(b"yes"), "order.cancelled")
        messages = await collect(source, 2)
    assert [(message.body, message.channel) for message in messages] == [
        (b"yes", "order.created"),
        (b"yes", "order.cancelled"),
    ]
    assert messages[0].attributes["exchange"] == name
    await source.close()


async def test_prefetch_bounds_what_is_held(rabbitmq: RabbitServer) -> None:
    """No more messages come than the prefetch count until some are acknowledged, in whatever order."""
    queue = await rabbitmq.queue()
    await rabbitmq.publish(queue, values(50))
    source = RabbitSource("orders", rabbit_settings(rabbitmq, queue, prefetch=20, max_records=10))
    await source.open()
    held = [await receive(source), await receive(source)]
    while sum(len(batch.messages) for batch in held) < 20:
        held.append(await receive(source))
    waiting = asyncio.create_task(source.receive())
    done, _ = await asyncio.wait({waiting}, timeout=0.3)  # that nothing comes can only be shown by waiting
    assert not done
    await held[-1].ack()
    async with asyncio.timeout(LIMIT_SECONDS):
        batch = await waiting
    assert bodies(batch.messages)[0] == b"00020"
    assert len(batch.messages) <= len(held[-1].messages)
    await source.close()


async def test_acknowledgements_out_of_order_reach_the_broker_at_once(rabbitmq: RabbitServer) -> None:
    """A batch that waits holds nobody else up: the others are gone from the queue although it is still held."""
    queue = await rabbitmq.queue()
    await rabbitmq.publish(queue, values(30))
    source = RabbitSource("orders", rabbit_settings(rabbitmq, queue, max_records=10))
    await source.open()
    held = [await receive(source)]
    while sum(len(batch.messages) for batch in held) < 30:
        held.append(await receive(source))
    for batch in held[:0:-1]:
        await batch.ack()
    await source.close()
    again = RabbitSource("orders", rabbit_settings(rabbitmq, queue))
    await again.open()
    assert bodies(await collect(again, len(held[0].messages))) == bodies(held[0].messages)
    await again.close()
    async with rabbitmq.channel() as channel:
        assert (await channel.declare_queue(queue, passive=True)).declaration_result.message_count == 0


async def test_mutual_tls_and_the_address_in_a_file(rabbitmq: RabbitServer, tmp_path: Path) -> None:
    """`amqps` with our certificate is let in; without it the broker refuses and no password is told."""
    queue = await rabbitmq.queue()
    await rabbitmq.publish(queue, [b"x"])
    assert rabbitmq.certificates is not None
    files = rabbitmq.certificates
    (tmp_path / "url").write_text(rabbitmq.tls_url + "\n")
    tls = {"ca_file": files.ca_file, "cert_file": files.client_cert_file, "key_file": files.client_key_file}
    there = {"url": None, "url_file": tmp_path / "url"}
    source = RabbitSource("orders", rabbit_settings(rabbitmq, queue, tls=tls, **there))
    await source.open()
    assert bodies(await collect(source, 1)) == [b"x"]
    await source.close()
    refused = RabbitSource("orders", rabbit_settings(rabbitmq, queue, tls={"ca_file": files.ca_file}, **there))
    with pytest.raises(SourceLost) as caught:
        await refused.open()
    assert "guest:guest" not in str(caught.value)


async def test_a_wrong_password_is_called_that(rabbitmq: RabbitServer) -> None:
    """The error says that authentication failed, and does not repeat the password."""
    queue = await rabbitmq.queue()
    url = rabbitmq.url.replace("guest:guest", "guest:open-sesame")
    with pytest.raises(SourceLost, match="authentication failed") as caught:
        await RabbitSource("orders", rabbit_settings(rabbitmq, queue, url=url)).open()
    assert "open-sesame" not in str(caught.value)


async def test_a_broker_that_falls_silent_is_given_up() -> None:
    """A peer that takes the connection and says nothing: opening ends within its time limit."""
    quiet = asyncio.Event()

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await quiet.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = {"url": f"amqp://guest:guest@127.0.0.1:{port}/", "queue": "q", "timeout_seconds": 0.3}
    source = RabbitSource("orders", RabbitSettings.model_validate(settings))
    begin = time.monotonic()
    with pytest.raises(SourceLost, match="in time"):
        await source.open()
    assert time.monotonic() - begin < SOON_SECONDS
    quiet.set()
    server.close()
    await server.wait_closed()
