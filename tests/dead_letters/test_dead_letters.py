"""Dead letters reach a broker confirmed, whole, and with the reason; on real brokers."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError
from aiormq.exceptions import ChannelInvalidStateError
from structlog.testing import capture_logs

from bridge.admission import HEAD_BYTES
from bridge.call import Call, Operation
from bridge.dead_letters.kafka import KafkaDeadLetters
from bridge.dead_letters.letter import until_confirmed
from bridge.dead_letters.registry import make_dead_letters
from bridge.dead_letters.settings import KafkaDeadLetterSettings, RabbitDeadLetterSettings
from bridge.errors import OutboxError
from bridge.message import Message
from bridge.outbox.base import DeadLetter

if TYPE_CHECKING:
    from tests.services.kafka import KafkaServer
    from tests.services.rabbitmq import RabbitServer

LIMIT_SECONDS = 60
CALL = Call(Operation.CREATE, "main", "fulfil", "order-1", "", b'{"id":"order-1"}', "{}")
EXPECTED = {
    "workflow-bridge-reason": "rejected",
    "workflow-bridge-detail": "the API said no",
    "workflow-bridge-rule": "order-created",
    "workflow-bridge-config": "0123456789ab",
    "workflow-bridge-source": "orders",
    "workflow-bridge-channel": "shop",
    "workflow-bridge-message-id": "shop/0/7",
    "workflow-bridge-attempts": "3",
    "workflow-bridge-died-ms": "1800000000000",
    "workflow-bridge-timestamp-ms": "1700000000123",
}


def letter(number: int = 7, **changes: Any) -> DeadLetter:
    message = Message(
        "orders",
        f"shop/0/{number}",
        "shop",
        changes.pop("key", b"\xfe\x00"),
        changes.pop("headers", [("a", b"\xff"), ("b", b"1"), ("b", b"2")]),
        changes.pop("body", b"\x00body"),
        1_700_000_000_123,
        {"partition": 0, "offset": number},
    )
    died: dict[str, Any] = {"attempts": 3, "died_ms": 1_800_000_000_000, "config": "0123456789ab"} | changes
    return DeadLetter(message, "rejected", "the API said no", "order-created", CALL, **died)


def kafka_settings(server: KafkaServer, topic: str, **changes: object) -> KafkaDeadLetterSettings:
    settings = {"type": "kafka", "bootstrap_servers": [server.bootstrap], "topic": topic, "request_timeout_seconds": 3}
    return KafkaDeadLetterSettings.model_validate(settings | changes)


def rabbit_settings(server: RabbitServer, **changes: object) -> RabbitDeadLetterSettings:
    settings = {"type": "rabbitmq", "url": server.url, "timeout_seconds": 3, "heartbeat_seconds": 1}
    return RabbitDeadLetterSettings.model_validate(settings | changes)


async def read_topic(server: KafkaServer, topic: str, count: int) -> list[Any]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=server.bootstrap, auto_offset_reset="earliest")
    async with consumer, asyncio.timeout(LIMIT_SECONDS):
        return [await consumer.getone() for _ in range(count)]


async def read_queue(server: RabbitServer, queue: str, count: int) -> list[Any]:
    messages: list[Any] = []
    async with server.channel() as channel, asyncio.timeout(LIMIT_SECONDS):
        declared = await channel.declare_queue(queue, passive=True)
        while len(messages) < count:
            if message := await declared.get(no_ack=True, fail=False):
                messages.append(message)
    return messages


@pytest.mark.kafka
async def test_a_letter_in_kafka(kafka: KafkaServer) -> None:
    """Key, body and headers are the original's, in order; the reason is in headers of ours, the call as JSON."""
    topic = await kafka.topic()
    queue = make_dead_letters(kafka_settings(kafka, topic))
    await queue.open()
    typed = [("t", "text"), ("i", 7), ("n", None)]
    await queue.publish([letter(), letter(8, body=None, headers=typed), letter(9, body=None, key=None)])
    await queue.close()
    first, second, third = await read_topic(kafka, topic, 3)
    assert (first.key, first.value) == (b"\xfe\x00", b"\x00body")
    assert first.headers[:3] == (("a", b"\xff"), ("b", b"1"), ("b", b"2"))
    ours = {name: value.decode() for name, value in first.headers[3:]}
    assert json.loads(ours.pop("workflow-bridge-call"))["body"] == {"id": "order-1"}
    assert json.loads(ours.pop("workflow-bridge-attributes")) == {"partition": 0, "offset": 7}
    assert ours == EXPECTED
    assert (second.key, second.value) == (b"\xfe\x00", None)
    assert second.headers[:3] == (("t", b"text"), ("i", b"7"), ("n", None))
    assert (third.key, third.value) == (None, b"")
    assert ("workflow-bridge-tombstone", b"true") in third.headers


@pytest.mark.kafka
async def test_kafka_letters_survive_the_broker(kafka: KafkaServer) -> None:
    """The broker is killed before the letters are confirmed: `publish` returns when all of them are there."""
    topic = await kafka.topic()
    queue = make_dead_letters(kafka_settings(kafka, topic))
    await queue.open()
    kafka.kill()
    try:
        publishing = asyncio.create_task(queue.publish([letter(number) for number in range(20)]))
        done, _ = await asyncio.wait({publishing}, timeout=1)
        assert not done
    finally:
        kafka.start()
    async with asyncio.timeout(LIMIT_SECONDS):
        await publishing
    await queue.close()
    ids = {dict(record.headers)["workflow-bridge-message-id"] for record in await read_topic(kafka, topic, 20)}
    assert ids == {f"shop/0/{number}".encode() for number in range(20)}


@pytest.mark.kafka
async def test_a_letter_too_large_for_its_topic_loses_only_what_we_added(kafka: KafkaServer) -> None:
    """The original fits; the rendered call and the detail do not: the letter goes without them."""
    topic = await kafka.topic(max_message_bytes="3000")
    big = CALL._replace(body=b'{"x":"' + b"x" * 2000 + b'"}')
    queue = KafkaDeadLetters(kafka_settings(kafka, topic), lambda _: None)
    await queue.open()
    async with asyncio.timeout(LIMIT_SECONDS):
        await queue.publish([letter(body=b"y" * 2000)._replace(call=big)])
    await queue.close()
    (record,) = await read_topic(kafka, topic, 1)
    assert record.value == b"y" * 2000
    names = {name for name, _ in record.headers}
    assert "workflow-bridge-reason" in names
    assert "workflow-bridge-call" not in names


@pytest.mark.kafka
async def test_what_a_topic_will_never_take_holds_up_nothing(kafka: KafkaServer) -> None:
    """What is beyond its bound is cut, told and counted; letters that are only too large together go whole."""
    topic = await kafka.topic(max_message_bytes="3000")
    cut: list[int] = []
    queue = KafkaDeadLetters(kafka_settings(kafka, topic), cut.append)
    await queue.open()
    small = [letter(number, body=b"s" * 1000) for number in range(20)]
    large = [
        letter(100, body=b"b" * 50_000),
        letter(101, key=b"k" * 50_000),
        letter(102, headers=[("h", b"h" * 50_000)]),
        letter(103, body=None, key=None, headers=[("h", b"h" * 50_000)]),
    ]
    hopeless = letter(104)._replace(rule="r" * 50_000)
    with capture_logs() as lines:
        async with asyncio.timeout(LIMIT_SECONDS):
            await queue.publish([*small[:10], *large, hopeless, *small[10:]])
    await queue.close()
    records = {dict(r.headers)["workflow-bridge-message-id"].decode(): r for r in await read_topic(kafka, topic, 24)}
    assert all(records[f"shop/0/{n}"].value == b"s" * 1000 for n in range(20))
    body, key, headers, nothing = (records[f"shop/0/{n}"] for n in (100, 101, 102, 103))
    assert (body.value, body.key) == (b"b" * 256, b"\xfe\x00")
    assert dict(body.headers)["workflow-bridge-body-bytes"] == b"50000"
    assert (key.value, key.key) == (b"\x00body", b"k" * 256)
    assert (headers.value, headers.key, "h" in dict(headers.headers)) == (b"\x00body", b"\xfe\x00", False)
    assert dict(nothing.headers)["workflow-bridge-tombstone"] == b"true"
    assert (sum(cut), [line["message_id"] for line in lines if line["event"] == "dead_letter_given_up"]) == (
        5,
        ["shop/0/104"],
    )


@pytest.mark.parametrize("kind", ["kafka", "rabbitmq"])
async def test_a_client_that_takes_being_cancelled_for_a_loss(kind: str) -> None:
    """Whoever cancels is obeyed, also where the client makes an error of its own of it: nothing is tried again."""
    failures = {"kafka": KafkaConnectionError, "rabbitmq": ChannelInvalidStateError}
    begun, tries = asyncio.Event(), list[int]()

    async def attempt() -> None:
        tries.append(1)
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise failures[kind] from None

    publishing = asyncio.create_task(until_confirmed([], attempt, attempt, (failures[kind], OSError)))
    await begun.wait()
    publishing.cancel()
    await asyncio.wait({publishing}, timeout=LIMIT_SECONDS)
    assert (publishing.cancelled(), len(tries)) == (True, 1)


async def test_a_client_that_cancels_itself() -> None:
    """It is a failure like others, and not the end: the letters are tried again."""
    tries: list[int] = []

    async def attempt() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise asyncio.CancelledError

    async def again() -> None:
        pass

    async with asyncio.timeout(LIMIT_SECONDS):
        await until_confirmed([], attempt, again, (OSError,))
    assert len(tries) == 2


async def test_the_pauses_grow_only_while_nothing_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that takes a letter and fails at the next is there: it is not left alone for half a minute each time."""
    waiting, left = list(range(6)), iter((6, 6, 5, 5, 4, 4, 0))  # after each attempt

    async def attempt() -> None:
        del waiting[next(left) :]
        if waiting:
            raise ConnectionError

    async def again() -> None:
        pass

    monkeypatch.setattr("bridge.dead_letters.letter.FIRST_WAIT_SECONDS", 0.001)
    with capture_logs() as lines:
        async with asyncio.timeout(LIMIT_SECONDS):
            await until_confirmed(waiting, attempt, again, (OSError,))
    assert [round(line["again_in"] * 1000) for line in lines] == [1, 2, 1, 2, 1, 2]


@pytest.mark.parametrize("broker", [pytest.param(b, marks=getattr(pytest.mark, b)) for b in ("kafka", "rabbitmq")])
async def test_publishing_ends_when_it_is_cancelled(broker: str, request: pytest.FixtureRequest) -> None:
    """While letters are on their way, and where the broker does not answer."""
    server = request.getfixturevalue(broker)
    name = await (server.topic() if broker == "kafka" else server.queue())
    settings = kafka_settings(server, name) if broker == "kafka" else rabbit_settings(server, routing_key=name)
    try:
        for number in range(6):
            queue = make_dead_letters(settings)
            await queue.open()
            publishing = asyncio.create_task(queue.publish([letter(n) for n in range(50)]))
            for _ in range(number):
                await asyncio.sleep(0)
            if number == 5:
                server.freeze()
            publishing.cancel()
            done, _ = await asyncio.wait({publishing}, timeout=LIMIT_SECONDS)
            assert done
            assert publishing.cancelled()
            if number == 5:
                server.thaw()
            async with asyncio.timeout(LIMIT_SECONDS):
                await queue.close()
    finally:
        server.thaw()


@pytest.mark.kafka
async def test_a_missing_topic_is_found_when_opening(kafka: KafkaServer) -> None:
    """Nothing is accepted that could not be published."""
    queue = make_dead_letters(kafka_settings(kafka, "nowhere", request_timeout_seconds=1))
    with pytest.raises(OutboxError, match="nowhere"):
        await queue.open()
    await queue.close()


@pytest.mark.rabbitmq
async def test_a_letter_in_rabbitmq(rabbitmq: RabbitServer) -> None:
    """Body and headers are the original's; what AMQP has no place for (a key, a tombstone) is in headers of ours."""
    name = await rabbitmq.queue()
    queue = make_dead_letters(rabbit_settings(rabbitmq, routing_key=name))
    await queue.open()
    await queue.publish([letter(), letter(8, body=None, key=None, headers=[("t", "text"), ("i", 7), ("n", None)])])
    await queue.close()
    first, second = sorted(await read_queue(rabbitmq, name, 2), key=lambda message: str(message.message_id))
    assert (first.body, first.message_id) == (b"\x00body", "shop/0/7")
    assert first.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    headers = dict(first.headers)
    assert headers.pop("a") == b"\xff"
    assert headers.pop("b") == [b"1", b"2"]
    assert headers.pop("workflow-bridge-key") == b"\xfe\x00"
    assert json.loads(headers.pop("workflow-bridge-call"))["instance_id"] == "order-1"
    assert json.loads(headers.pop("workflow-bridge-attributes")) == {"partition": 0, "offset": 7}
    assert headers == EXPECTED
    assert second.body == b""
    assert second.headers["workflow-bridge-tombstone"] is True
    assert [second.headers[key] for key in ("t", "i", "n")] == ["text", 7, None]


@pytest.mark.rabbitmq
async def test_an_unroutable_letter_waits_until_there_is_a_queue(rabbitmq: RabbitServer) -> None:
    """An exchange without a queue behind it confirms and drops; the letter is sent again until it is kept.

    Two letters of one message are told apart: each of them arrives.
    """
    name = f"dead-{uuid.uuid4().hex[:12]}"
    async with rabbitmq.channel() as channel:
        exchange = await channel.declare_exchange(name, aio_pika.ExchangeType.FANOUT, durable=True)
        queue = make_dead_letters(rabbit_settings(rabbitmq, exchange=name))
        await queue.open()
        letters = [letter(1), letter(1)._replace(rule="another"), letter(2)]
        publishing = asyncio.create_task(queue.publish(letters))
        done, _ = await asyncio.wait({publishing}, timeout=0.5)
        assert not done
        await (await channel.declare_queue(name, durable=True)).bind(exchange)
        async with asyncio.timeout(LIMIT_SECONDS):
            await publishing
    await queue.close()
    messages = await read_queue(rabbitmq, name, 3)
    assert sorted((message.message_id, message.headers["workflow-bridge-rule"]) for message in messages) == [
        ("shop/0/1", "another"),
        ("shop/0/1", "order-created"),
        ("shop/0/2", "order-created"),
    ]


@pytest.mark.rabbitmq
async def test_rabbitmq_letters_survive_the_broker(rabbitmq: RabbitServer) -> None:
    """The broker is killed before the letters are confirmed: `publish` returns when all of them are there."""
    name = await rabbitmq.queue()
    queue = make_dead_letters(rabbit_settings(rabbitmq, routing_key=name))
    await queue.open()
    rabbitmq.kill()
    try:
        publishing = asyncio.create_task(queue.publish([letter(number) for number in range(20)]))
        done, _ = await asyncio.wait({publishing}, timeout=1)
        assert not done
    finally:
        rabbitmq.start()
    async with asyncio.timeout(LIMIT_SECONDS):
        await publishing
    await queue.close()
    messages = await read_queue(rabbitmq, name, 20)
    assert {message.message_id for message in messages} == {f"shop/0/{number}" for number in range(20)}


@pytest.mark.rabbitmq
async def test_headers_that_amqp_cannot_say_do_not_keep_a_letter_back(rabbitmq: RabbitServer) -> None:
    """An integer beyond 64 bits goes as text."""
    name = await rabbitmq.queue()
    queue = make_dead_letters(rabbit_settings(rabbitmq, routing_key=name))
    await queue.open()
    async with asyncio.timeout(LIMIT_SECONDS):
        await queue.publish([letter(headers=[("big", 2**70)])])
    await queue.close()
    (message,) = await read_queue(rabbitmq, name, 1)
    assert str(2**70) in message.headers["workflow-bridge-headers"]
    assert message.headers["workflow-bridge-reason"] == "rejected"


@pytest.mark.rabbitmq
async def test_headers_larger_than_a_frame_are_cut(rabbitmq: RabbitServer) -> None:
    """The broker would close the connection for them, each time; the body is no part of that and goes whole."""
    name = await rabbitmq.queue()
    cut: list[int] = []
    queue = make_dead_letters(rabbit_settings(rabbitmq, routing_key=name), cut.append)
    await queue.open()
    big = CALL._replace(body=b'{"x":"' + b"x" * 200_000 + b'"}')
    letters = [
        letter(1)._replace(call=big),
        letter(2, key=b"k" * 200_000, body=b"b" * 200_000),
        letter(3, headers=[("h", b"h" * 200_000)]),
        letter(4)._replace(rule="r" * 200_000),
        letter(5)._replace(message=letter(5).message._replace(timestamp_ms=2**62)),
        letter(6)._replace(message=letter(6).message._replace(timestamp_ms=None)),
    ]
    async with asyncio.timeout(LIMIT_SECONDS):
        await queue.publish(letters)
    await queue.close()
    found = {str(message.message_id): message for message in await read_queue(rabbitmq, name, 5)}
    assert found.keys() == {f"shop/0/{n}" for n in (1, 2, 3, 5, 6)}
    assert found["shop/0/1"].headers["a"] == b"\xff"
    assert "workflow-bridge-call" not in found["shop/0/1"].headers
    assert found["shop/0/2"].body == b"b" * 200_000
    assert found["shop/0/2"].headers["workflow-bridge-key"] == b"k" * 256
    assert (found["shop/0/3"].body, "h" in found["shop/0/3"].headers) == (b"\x00body", False)
    assert found["shop/0/5"].headers["workflow-bridge-timestamp-ms"] == str(2**62)
    assert sum(cut) == 3


@pytest.mark.rabbitmq
async def test_a_body_that_the_broker_will_never_take_is_cut(rabbitmq: RabbitServer) -> None:
    """It says so by closing the channel; which of many letters it was is found out, and the others go whole."""
    name = await rabbitmq.queue()
    cut: list[int] = []
    queue = make_dead_letters(rabbit_settings(rabbitmq, routing_key=name), cut.append)
    rabbitmq.evaluate("application:set_env(rabbit, max_message_size, 20000)")
    try:
        await queue.open()
        letters = [letter(number, body=b"b" * (30_000 if number == 3 else 19_000)) for number in range(6)]
        async with asyncio.timeout(LIMIT_SECONDS):
            await queue.publish(letters)
        await queue.close()
        found: dict[str, tuple[int, dict[str, Any]]] = {}
        while len(found) < 6:  # some are there twice: the channel was closed before they were confirmed
            (m,) = await read_queue(rabbitmq, name, 1)
            found[str(m.message_id)] = len(m.body), m.headers
    finally:
        rabbitmq.evaluate("application:set_env(rabbit, max_message_size, 134217728)")
    assert [found[f"shop/0/{n}"][0] for n in range(6)] == [19_000, 19_000, 19_000, HEAD_BYTES, 19_000, 19_000]
    assert found["shop/0/3"][1]["workflow-bridge-body-bytes"] == "30000"
    assert sum(cut) == 1


@pytest.mark.rabbitmq
async def test_a_missing_exchange_is_found_when_opening(rabbitmq: RabbitServer) -> None:
    """Nothing is accepted that could not be published."""
    for wrong in ({"exchange": "nowhere"}, {"routing_key": "nowhere"}):
        queue = make_dead_letters(rabbit_settings(rabbitmq, **wrong))
        with pytest.raises(OutboxError, match="nowhere"):
            await queue.open()
        await queue.close()
