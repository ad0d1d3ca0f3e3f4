"""Every source keeps the promises of bridge.sources.base: in memory, on Kafka and on RabbitMQ."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bridge.errors import SourceLost
from tests.sources.subjects import (
    LIMIT_SECONDS,
    KafkaSubject,
    MemorySubject,
    RabbitSubject,
    Sent,
    bodies,
    collect,
    numbered,
    open_again,
    receive,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridge.sources.base import Batch, Source
    from tests.sources.subjects import Subject

SUBJECTS = [
    "memory",
    pytest.param("kafka", marks=pytest.mark.kafka),
    pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
    pytest.param("rabbitmq-quorum", marks=pytest.mark.rabbitmq),
]


@pytest.fixture(params=SUBJECTS)
async def subject(request: pytest.FixtureRequest) -> Subject:
    """A fresh topic or queue; the server is only asked for where it is used."""
    if request.param == "memory":
        return MemorySubject()
    if request.param == "kafka":
        server = request.getfixturevalue("kafka")
        return KafkaSubject(server, await server.topic())
    server = request.getfixturevalue("rabbitmq")
    kind = "quorum" if request.param.endswith("quorum") else "classic"
    return RabbitSubject(server, await server.queue(kind=kind))


@pytest.fixture
async def source(subject: Subject) -> AsyncIterator[Source]:
    """One open source with batches of at most 100."""
    source = subject.source()
    await source.open()
    yield source
    await source.close()


async def test_every_message_is_delivered_once_and_in_order(subject: Subject, source: Source) -> None:
    """What was published comes, each message once, in the order of publishing, in batches within their bound."""
    await subject.publish(numbered(1000))
    batches: list[Batch] = []
    while count_of(batches) < 1000:
        batches.append(await receive(source))
        await batches[-1].ack()
    messages = [message for batch in batches for message in batch.messages]
    assert bodies(messages) == bodies_of(numbered(1000))
    assert len({message.id for message in messages}) == 1000
    assert all(1 <= len(batch.messages) <= 100 for batch in batches)
    assert {message.source for message in messages} == {"orders"}


async def test_what_was_acknowledged_does_not_come_again(subject: Subject) -> None:
    """A source goes on after what was acknowledged before it was closed."""
    await subject.publish(numbered(300))
    first = subject.source(batch=50)
    await first.open()
    seen = [await receive(first) for _ in range(3)]
    for batch in seen:
        await batch.ack()
    await first.close()
    count = sum(len(batch.messages) for batch in seen)

    second = subject.source()
    await second.open()
    assert bodies(await collect(second, 300 - count)) == bodies_of(numbered(300))[count:]
    await second.close()


async def test_what_was_not_acknowledged_comes_again(subject: Subject) -> None:
    """Messages that were received and not acknowledged are delivered to the next source."""
    await subject.publish(numbered(100))
    first = subject.source()
    await first.open()
    assert bodies(await collect(first, 100, ack=False)) == bodies_of(numbered(100))
    await first.close()

    second = subject.source()
    await second.open()
    assert bodies(await collect(second, 100)) == bodies_of(numbered(100))
    await second.close()


async def test_acknowledging_a_later_batch_forgets_no_earlier_one(subject: Subject) -> None:
    """Of batches acknowledged out of order, all that were not acknowledged come again."""
    await subject.publish(numbered(60))
    first = subject.source(batch=10)
    await first.open()
    batches: list[Batch] = []
    while count_of(batches) < 60:
        batches.append(await receive(first))
    kept = {body for batch in batches[1::2] for body in bodies(batch.messages)}
    for batch in reversed(batches[::2]):
        await batch.ack()
    await first.close()

    second = subject.source()
    await second.open()
    again: set[bytes | None] = set()
    while not kept <= again:
        again |= set(bodies((await receive(second)).messages))
    assert b"000000" not in again
    await second.close()


async def test_a_killed_broker_is_noticed_and_nothing_is_lost(subject: Subject) -> None:
    """SIGKILL of the broker surfaces as SourceLost; close, open, and every unacknowledged message comes."""
    await subject.publish(numbered(200))
    source = subject.source(batch=50)
    await source.open()
    acknowledged = await receive(source)
    await acknowledged.ack()
    lost = await receive(source)
    subject.kill()
    try:
        with pytest.raises(SourceLost):
            await collect(source, 10_000, ack=False)
        await lost.ack()
        await source.close()
        with pytest.raises(SourceLost):
            await source.open()
    finally:
        subject.start()
    await open_again(source)
    await subject.publish(numbered(10, start=200))
    expected = set(bodies_of(numbered(210))) - set(bodies(acknowledged.messages))
    seen: set[bytes | None] = set()
    while not expected <= seen:
        batch = await receive(source)
        seen |= set(bodies(batch.messages))
        await batch.ack()
    await source.close()


async def test_a_silent_broker_is_noticed(subject: Subject) -> None:
    """A broker that keeps the connection and answers nothing is given up; ``close`` does not wait for it either."""
    await subject.publish(numbered(20))
    source = subject.source(batch=10)
    await source.open()
    batch = await receive(source)
    subject.freeze()
    try:
        with pytest.raises(SourceLost):
            await collect(source, 10_000, ack=False)
        async with asyncio.timeout(LIMIT_SECONDS):
            await batch.ack()
            await source.close()
            with pytest.raises(SourceLost):
                await source.open()
    finally:
        subject.thaw()
    await open_again(source)
    assert bodies(await collect(source, 20)) == bodies_of(numbered(20))
    await source.close()


async def test_closing_while_waiting_ends_the_wait(subject: Subject) -> None:
    """``close`` during an idle ``receive`` makes it raise SourceLost; closing again does nothing."""
    source = subject.source()
    await source.open()
    waiting = asyncio.create_task(source.receive())
    await asyncio.sleep(0)
    await source.close()
    await source.close()
    async with asyncio.timeout(LIMIT_SECONDS):
        with pytest.raises(SourceLost):
            await waiting


async def test_closing_while_busy_loses_nothing(subject: Subject) -> None:
    """A batch that is acknowledged after ``close`` does no harm, and comes again."""
    await subject.publish(numbered(20))
    first = subject.source()
    await first.open()
    batch = await receive(first)
    await first.close()
    await batch.ack()

    second = subject.source()
    await second.open()
    assert bodies(await collect(second, 20)) == bodies_of(numbered(20))
    await second.close()


async def test_a_cancelled_receive_loses_nothing(subject: Subject, source: Source) -> None:
    """``receive`` may be cancelled while it waits; what comes later is given to the next call."""
    waiting = asyncio.create_task(source.receive())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await subject.publish(numbered(5))
    assert bodies(await collect(source, 5)) == bodies_of(numbered(5))


async def test_messages_arrive_as_they_were_sent(subject: Subject, source: Source) -> None:
    """Bodies, keys and headers come through unchanged: binary, empty, large, absent, repeated, typed, in order."""
    sent = [Sent(b"\x00\xff"), Sent(b""), Sent(b"x" * 300_000)]
    if subject.has_keys:
        sent += [Sent(None, b"\xfe\x00"), Sent(b"x", b"", [("b", b"1"), ("a", b"\xff"), ("b", b"2"), ("", b"")])]
    else:
        sent += [Sent(b"x", None, [("", ""), ("a", 7), ("b", "text"), ("c", 0.5), ("n", None), ("z", True)])]
    await subject.publish(sent)
    received = await collect(source, len(sent))
    assert [Sent(message.body, message.key, list(message.headers)) for message in received] == [
        Sent(one.body, one.key, list(one.headers)) for one in sent
    ]
    assert [type(value) for _, value in received[-1].headers] == [type(value) for _, value in sent[-1].headers]


def bodies_of(messages: list[Sent]) -> list[bytes | None]:
    return [message.body for message in messages]


def count_of(batches: list[Batch]) -> int:
    return sum(len(batch.messages) for batch in batches)
