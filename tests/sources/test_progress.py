"""Whether a source gets on: the decision, then consumers that stand still before real brokers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import supervisor as module
from bridge.caution.caution import Caution
from bridge.errors import SourceLost
from bridge.intake import Current
from bridge.sources.kafka import KafkaSource
from bridge.sources.kafka_settings import KafkaSettings
from bridge.sources.memory import MemoryBroker, MemorySource
from bridge.sources.progress import Standing, looked, stuck
from bridge.sources.rabbitmq import RabbitSource
from bridge.sources.rabbitmq_settings import RabbitSettings
from bridge.supervisor import Supervisor
from tests.sources.subjects import OutboxPositions
from tests.test_intake import HeldOutbox, translation, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from bridge.metrics import Metrics
    from bridge.sources.base import Source
    from bridge.sources.progress import Since
    from tests.services.kafka import KafkaServer
    from tests.services.rabbitmq import RabbitServer

SECONDS = 60.0


def test_who_stands_in_one_place_with_messages_before_it_is_stuck() -> None:
    """By the clock of the looks, once the time is over and not before; who moves or has nothing before it is not."""
    since = looked({}, {"t/0": Standing(5, 9), "t/1": Standing(5, 9), "t/2": Standing(7, 0)}, 100.0, reading=True)
    since = looked(since, {"t/0": Standing(5, 12), "t/1": Standing(6, 8), "t/2": Standing(7, 0)}, 130.0, reading=True)
    assert (stuck(since, 159.9, 60), stuck(since, 160.0, 60)) == ([], ["t/0"])


def test_time_in_which_the_reader_does_not_ask_does_not_count() -> None:
    """A full outbox holds the source up, and that is as it should be."""
    standings = {"t/0": Standing(5, 9)}
    since = looked(looked({}, standings, 0.0, reading=True), standings, 50.0, reading=False)
    since = looked(since, standings, 55.0, reading=True)
    assert (stuck(since, 114.9, 60), stuck(since, 115.0, 60)) == ([], ["t/0"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=30))
def test_nobody_is_stuck_who_moved_or_was_held_up_within_the_time(looks: list[tuple[int, int, bool]]) -> None:
    """Whatever was seen: the last looks, for as long as the limit, all show the same place, messages, and a reader."""
    since: Since = {}
    for now, (position, behind, reading) in enumerate(looks):
        since = looked(since, {"q": Standing(position, behind)}, float(now), reading=reading)
        last = looks[max(now - 3, 0) : now + 1]
        same = len(last) == 4 and all(look == (position, look[1], True) and look[1] for look in last)
        assert stuck(since, float(now), 3.0) == (["q"] if same else [])


class Reading:
    """A supervisor over a source, with an outbox that the test can close."""

    def __init__(self, source: Source) -> None:
        self.outbox = HeldOutbox()
        self.current = Current(translation())
        self.supervisor = Supervisor(source, self.current, self.outbox, Caution("orders", None), lambda: 0.0)  # type: ignore[arg-type]  # what it asks of it

    @property
    def rebuilds(self) -> float:
        labels = {"source": "orders", "reason": "no_progress"}
        name = "workflow_bridge_source_rebuilds_total"
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    @property
    def metrics(self) -> Metrics:
        return self.current.translation.metrics

    @property
    def bodies(self) -> set[bytes | None]:
        return {message.body for intake in self.outbox.intakes for message, _ in intake.calls}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.supervisor.run())
        yield
        self.supervisor.stop()
        for receipt in self.outbox.receipts:
            receipt.given.set()
        await asyncio.wait_for(running, SECONDS)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(module, "STUCK_SECONDS", 0.5)
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)


def order(number: int) -> bytes:
    return b'{"type":"order","n":%d}' % number


async def looks(source: Source, count: int) -> None:
    """Return when the supervisor has looked so many times more."""
    seen, standing = 0, source.standing

    async def counted() -> Mapping[str, Standing]:
        nonlocal seen
        seen += 1
        return await standing()

    source.standing = counted  # type: ignore[method-assign]  # to see it called
    async with asyncio.timeout(SECONDS):
        while seen < count:
            await asyncio.sleep(module.LOOK_SECONDS)


async def wait_for(reading: Reading, bodies: set[bytes]) -> None:
    async with asyncio.timeout(SECONDS):
        while reading.bodies != bodies:
            await asyncio.sleep(0.01)


class Deaf(MemorySource):
    """Gives nothing until it has been opened twice, whatever lies before it."""

    opened = 0

    async def open(self) -> None:
        self.opened += 1
        await super().open()

    async def receive(self):  # type: ignore[no-untyped-def]  # noqa: ANN201  as the one above
        if self.opened == 1:
            await asyncio.Event().wait()
        return await super().receive()


async def test_a_source_that_gives_nothing_is_made_anew_and_counted() -> None:
    """Then it reads; stopping ends the watch with it."""
    broker = MemoryBroker()
    broker.publish(order(1))
    reading = Reading(Deaf("orders", broker))
    async with reading.running():
        await wait_for(reading, {order(1)})
        assert reading.rebuilds == 1


class Confused(MemorySource):
    """Takes being cancelled while it asks its broker for the loss of that broker, as a client may."""

    def __init__(self, name: str, broker: MemoryBroker) -> None:
        super().__init__(name, broker)
        self.asking = asyncio.Event()

    async def standing(self) -> Mapping[str, Standing]:
        self.asking.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return {}
        raise AssertionError


async def test_a_source_that_is_lost_while_it_is_looked_at_is_opened_again() -> None:
    """Though the look cannot be cancelled: nothing waits for it for ever."""
    broker = MemoryBroker()
    source = Confused("orders", broker)
    reading = Reading(source)
    async with reading.running():
        for number in range(3):
            await asyncio.wait_for(source.asking.wait(), SECONDS)
            broker.kill()
            broker.start()
            source._acks = None  # its connection is gone
            broker.publish(order(number))
            source.asking.clear()
        await wait_for(reading, {order(0), order(1), order(2)})


class Stubborn(MemorySource):
    """Takes being cancelled for the loss of its broker."""

    def __init__(self, name: str, broker: MemoryBroker) -> None:
        super().__init__(name, broker)
        self.waiting = asyncio.Event()

    async def receive(self):  # type: ignore[no-untyped-def]  # noqa: ANN201  as the one above
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise SourceLost("gone") from None


async def test_a_supervisor_that_is_cancelled_ends() -> None:
    """Though its source says that it was lost, and would be opened again: another half of the process has failed."""
    source = Stubborn("orders", MemoryBroker())
    running = asyncio.create_task(Reading(source).supervisor.run())
    await asyncio.wait_for(source.waiting.wait(), SECONDS)
    running.cancel()
    await asyncio.wait([running], timeout=SECONDS)
    assert running.cancelled()


@pytest.mark.kafka
async def test_a_partition_that_a_consumer_forgot_is_read_again(kafka: KafkaServer) -> None:
    """The other partition goes on all the time, so that nothing but its own standing still tells."""
    topic = await kafka.topic(partitions=2)
    kafka_settings = KafkaSettings.model_validate(
        {"bootstrap_servers": [kafka.bootstrap], "topics": [topic], "group_id": topic}
    )
    source = KafkaSource("orders", kafka_settings, OutboxPositions())
    reading = Reading(source)
    async with reading.running():
        await kafka.produce(topic, [order(0)], partition=0)
        await kafka.produce(topic, [order(1)], partition=1)
        await wait_for(reading, {order(0), order(1)})
        assert source._link is not None
        source._link.consumer.pause(TopicPartition(topic, 0))
        number = 2
        async with asyncio.timeout(SECONDS):
            while not reading.rebuilds:
                await kafka.produce(topic, [order(number)], partition=1)
                await kafka.produce(topic, [order(number + 1)], partition=0)
                number += 2
        await wait_for(reading, {order(n) for n in range(number)})


@pytest.mark.kafka
async def test_a_source_behind_a_full_outbox_is_left_alone(kafka: KafkaServer) -> None:
    """However long it stands still, and however much lies before it; with room it goes on."""
    topic = await kafka.topic()
    kafka_settings = KafkaSettings.model_validate(
        {"bootstrap_servers": [kafka.bootstrap], "topics": [topic], "group_id": topic,
         "fetch": {"max_records": 1}}
    )  # fmt: skip
    source = KafkaSource("orders", kafka_settings, OutboxPositions())
    reading = Reading(source)
    reading.outbox.room.clear()
    async with reading.running():
        await kafka.produce(topic, [order(n) for n in range(5)])
        await until(lambda: reading.supervisor._reader is not None and bool(source.assigned))
        await looks(source, 30)
        assert any(standing.behind for standing in (await source.standing()).values())
        assert (reading.rebuilds, reading.bodies) == (0, set())
        reading.outbox.room.set()
        await wait_for(reading, {order(n) for n in range(5)})
        assert reading.rebuilds == 0


@pytest.mark.rabbitmq
async def test_a_consumer_that_the_broker_does_not_know_any_more_is_made_anew(rabbitmq: RabbitServer) -> None:
    """And one that holds as many messages as it may is left alone."""
    queue = await rabbitmq.queue()
    rabbit_settings = RabbitSettings.model_validate({"url": rabbitmq.url, "queues": [queue], "prefetch": 3})
    source = RabbitSource("orders", rabbit_settings)
    reading = Reading(source)
    async with reading.running():
        await rabbitmq.publish(queue, [order(n) for n in range(5)])
        await wait_for(reading, {order(n) for n in range(3)})
        await looks(source, 30)  # the prefetch count is used up: nothing is to come
        assert reading.rebuilds == 0
        for receipt in reading.outbox.receipts:
            receipt.given.set()
        await wait_for(reading, {order(n) for n in range(5)})
        for receipt in reading.outbox.receipts:
            receipt.given.set()
        assert source._link is not None
        assert source._link._channel is not None
        await source._link._channel.basic_cancel(next(iter(source._link.queues)).decode())
        await rabbitmq.publish(queue, [order(5)])
        await wait_for(reading, {order(n) for n in range(6)})
        assert reading.rebuilds == 1
