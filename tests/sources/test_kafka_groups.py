"""Which partitions a Kafka source reads: groups, fixed partitions, patterns; on a real broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bridge.call import Call, Operation, Policy
from bridge.errors import SourceLost
from bridge.outbox.base import Intake, Queue, Settlement, Verdict
from bridge.outbox.memory import MemoryOutbox
from bridge.outbox.settings import MemorySettings
from bridge.sources.kafka import KafkaSource
from bridge.sources.progress import Standing
from tests.sources.subjects import (
    LIMIT_SECONDS,
    OutboxPositions,
    bodies,
    collect,
    kafka_settings,
    receive,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.outbox.base import Receipt
    from bridge.sources.base import Batch
    from tests.services.kafka import KafkaServer

from tests.sources.kafka_steps import committed, is_committed, run_through, values

pytestmark = pytest.mark.kafka


async def test_partitions_added_while_running_are_read_from_their_beginning(kafka: KafkaServer) -> None:
    """New partitions are noticed, and their first messages are not taken for old ones even with `latest`."""
    topic, positions = await kafka.topic(), OutboxPositions()
    source = KafkaSource("orders", kafka_settings(kafka, topic, start_from="latest"), positions)
    await source.open()
    waiting = asyncio.create_task(source.receive())
    await until(lambda: is_committed(kafka, topic, 0))
    await kafka.add_partitions(topic, 3)
    await kafka.produce(topic, values(5), partition=2)
    async with asyncio.timeout(LIMIT_SECONDS):
        batch = await waiting
    await batch.ack()
    rest = 5 - len(batch.messages)
    messages = [*batch.messages, *(await collect(source, rest) if rest else [])]
    assert bodies(messages) == values(5)
    assert {message.attributes["partition"] for message in messages} == {2}
    await source.close()


async def test_a_static_member_that_comes_back_reads_new_partitions(kafka: KafkaServer) -> None:
    """Those that were added while it was away, and those that are added later, though its return is no rebalance."""
    topic, positions = await kafka.topic(), OutboxPositions()
    settings = kafka_settings(kafka, topic, group_instance_id="bridge-0", metadata_refresh_seconds=0.5)
    source = KafkaSource("orders", settings, positions)
    await source.open()
    await kafka.produce(topic, values(3))
    await run_through(source, positions, 3)
    await source.close()
    await kafka.add_partitions(topic, 2)
    await kafka.produce(topic, values(3, prefix="away"), partition=1)
    await source.open()
    messages = await run_through(source, positions, 3)
    await kafka.add_partitions(topic, 3)
    await kafka.produce(topic, values(3, prefix="later"), partition=2)
    messages += await run_through(source, positions, 3)
    assert bodies(messages) == [*values(3, prefix="away"), *values(3, prefix="later")]
    await source.close()


async def test_a_second_member_takes_over_without_loss(kafka: KafkaServer) -> None:
    """On a rebalance the outbox is told before partitions go, and every message reaches one of the members."""
    topic = await kafka.topic(4)
    for partition in range(4):
        await kafka.produce(topic, values(50, prefix=f"{partition}-"), partition=partition)
    one_positions, two_positions = OutboxPositions(), OutboxPositions()
    one = KafkaSource("orders", kafka_settings(kafka, topic, batch=20), one_positions)
    two = KafkaSource("orders", kafka_settings(kafka, topic, batch=20), two_positions)
    await one.open()
    seen = set(bodies(await run_through(one, one_positions, 60)))
    await two.open()

    async def follow(source: KafkaSource, positions: OutboxPositions) -> None:
        while True:
            batch = await source.receive()
            positions.store(batch)
            seen.update(bodies(batch.messages))
            await batch.ack()

    tasks = [asyncio.create_task(follow(one, one_positions)), asyncio.create_task(follow(two, two_positions))]

    async def shared() -> bool:
        return len(one.assigned) == len(two.assigned) == 2

    await until(shared)
    for partition in range(4):
        await kafka.produce(topic, values(50, start=50, prefix=f"{partition}-"), partition=partition)
    expected = {value for partition in range(4) for value in values(100, prefix=f"{partition}-")}

    async def complete() -> bool:
        return seen == expected

    await until(complete)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert one_positions.withdrawn[0] == {f"{topic}/{partition}" for partition in range(4)}
    await one.close()
    await two.close()


async def test_a_batch_on_its_way_during_a_rebalance_is_not_given_out_twice(kafka: KafkaServer) -> None:
    """What was received and stored around a rebalance is not received again, and its late ack is committed."""
    topic, positions = await kafka.topic(2), OutboxPositions()
    await kafka.produce(topic, values(10), partition=0)
    await kafka.produce(topic, values(10, start=10), partition=1)
    one = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await one.open()
    batches = [await receive(one)]
    while sum(len(batch.messages) for batch in batches) < 20:
        batches.append(await receive(one))
    two = KafkaSource("orders", kafka_settings(kafka, topic), OutboxPositions())
    await two.open()
    async with asyncio.timeout(LIMIT_SECONDS):
        while not two.assigned:
            waiting = asyncio.ensure_future(two.receive())
            await asyncio.wait({waiting}, timeout=0.2)
            waiting.cancel()
    await two.close()
    for batch in batches:
        positions.store(batch)
    await kafka.produce(topic, [b"after"], partition=0)
    await kafka.produce(topic, [b"after"], partition=1)
    assert bodies(await run_through(one, positions, 2)) == [b"after", b"after"]
    for batch in batches:
        await batch.ack()
    await one.close()
    assert [await committed(kafka, topic, partition) for partition in range(2)] == [11, 11]


async def test_what_ends_while_partitions_go_is_committed_before_they_are_gone(kafka: KafkaServer) -> None:
    """With the memory outbox a call in flight is waited for, and its message is not given to the next owner."""
    topic, outbox = await kafka.topic(), WatchedOutbox(MemorySettings(), None, clock=lambda: 1_000_000)
    await kafka.produce(topic, values(1))
    await outbox.open()
    one = KafkaSource("orders", kafka_settings(kafka, topic), outbox)
    await one.open()
    batch = await receive(one)
    call = Call(Operation.CREATE, "main", "wf", "x", "", b"{}", Policy("rule").encode())
    receipt = await outbox.add(Intake("orders", [(batch.messages[0], call)], [], batch.positions, 0))
    acknowledged = asyncio.create_task(acknowledge(receipt, batch))
    entries = outbox.begin(await outbox.pending(Queue("main", "wf"), 0, 10))
    two = KafkaSource("orders", kafka_settings(kafka, topic), OutboxPositions())
    await two.open()
    receiving = [asyncio.ensure_future(source.receive()) for source in (one, two)]
    async with asyncio.timeout(LIMIT_SECONDS):
        await outbox.withdrawing.wait()
    assert await committed(kafka, topic) == 0
    await outbox.settle([Settlement(entry, Verdict.DELIVERED) for entry in entries])
    async with asyncio.timeout(LIMIT_SECONDS):
        await acknowledged

    async def decided() -> bool:
        return any(task.done() for task in receiving) or await is_committed(kafka, topic, 1)

    await until(decided)
    assert [task.done() for task in receiving] == [False, False]
    for task in receiving:
        task.cancel()
    await asyncio.wait(receiving)
    await two.close()
    await one.close()
    await outbox.close()


class WatchedOutbox(MemoryOutbox):
    """Says when it is told that partitions go."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.withdrawing = asyncio.Event()

    async def withdraw(self, source: str, partitions: Iterable[str]) -> None:
        self.withdrawing.set()
        await super().withdraw(source, partitions)


async def acknowledge(receipt: Receipt, batch: Batch) -> None:
    """What intake does with each batch."""
    await receipt.wait()
    await batch.ack()


async def test_fixed_partitions(kafka: KafkaServer) -> None:
    """Replica 1 of 2 reads the odd partitions, commits to the group, and takes new ones as they appear."""
    topic, positions = await kafka.topic(4), OutboxPositions()
    for partition in range(4):
        await kafka.produce(topic, [f"p{partition}".encode()], partition=partition)
    settings = kafka_settings(kafka, topic, assign={"index": 1, "of": 2})
    source = KafkaSource("orders", settings, positions)
    await source.open()
    assert sorted(str(body) for body in bodies(await run_through(source, positions, 2))) == ["b'p1'", "b'p3'"]
    waiting = asyncio.create_task(source.receive())
    await kafka.add_partitions(topic, 6)
    await kafka.produce(topic, [b"p4"], partition=4)
    await kafka.produce(topic, [b"p5"], partition=5)
    async with asyncio.timeout(LIMIT_SECONDS):
        assert bodies((await waiting).messages) == [b"p5"]
    assert sorted(source.assigned) == [f"{topic}/{number}" for number in (1, 3, 5)]
    await kafka.produce(topic, [b"more"], partition=3)
    assert bodies(await run_through(source, positions, 1)) == [b"more"]
    await source.close()
    assert await committed(kafka, topic, 1) == 1
    assert await committed(kafka, topic, 2) is None
    assert positions.resets == []


async def test_fixed_partitions_that_a_broker_does_not_know_are_lost(kafka: KafkaServer) -> None:
    """As one that has just started may answer: the outbox lets go of them before they are read anew.

    Else the memory outbox would send what it holds of them, and what comes again.
    """
    topic, positions = await kafka.topic(2), OutboxPositions()
    await kafka.produce(topic, [b"p1"], partition=1)
    settings = kafka_settings(kafka, topic, assign={"index": 1, "of": 2})
    source = KafkaSource("orders", settings, positions)
    await source.open()
    assert bodies((await receive(source)).messages) == [b"p1"]
    assert source._link is not None
    cluster = source._link.consumer._client.cluster
    for known in (dict[str, Any](), cluster._partitions):
        cluster._partitions = known
        for listener in list(cluster._listeners):
            listener(cluster)
    with pytest.raises(SourceLost, match=f"{topic}/1"):
        await receive(source)
    await source.close()
    assert positions.withdrawn == [{f"{topic}/1"}]
    await source.open()
    assert bodies((await receive(source)).messages) == [b"p1"]
    await source.close()


async def test_topics_by_pattern(kafka: KafkaServer) -> None:
    """A pattern matches whole names, and topics that are created later are added."""
    first, _other = await kafka.topic(), await kafka.topic()
    later = f"{first}.later"
    settings = kafka_settings(kafka, first, topics=[], topics_pattern=f"{first}(\\.later)?")
    source = KafkaSource("orders", settings, OutboxPositions())
    await source.open()
    await kafka.create_topic(f"{first}.later.still")
    await kafka.produce(first, [b"1"])
    assert bodies(await collect(source, 1)) == [b"1"]
    await kafka.create_topic(later)
    await kafka.produce(later, [b"2"])
    assert bodies(await collect(source, 1)) == [b"2"]
    assert set(source.assigned) == {f"{first}/0", f"{later}/0"}
    await source.close()


async def test_while_the_topics_of_a_pattern_change_nothing_fails(kafka: KafkaServer) -> None:
    """The client has no assignment at all then, and what is asked of it fails; reading goes on with the next one."""
    topic = await kafka.topic()
    source = KafkaSource("orders", kafka_settings(kafka, topic, topics=[], topics_pattern=topic), OutboxPositions())
    await source.open()
    await kafka.produce(topic, [b"1"])
    assert bodies((await receive(source)).messages) == [b"1"]
    assert source._link is not None
    source._link.consumer._subscription.subscribe_from_pattern({topic})  # as when the cluster tells of a new topic
    source._link.holdings.tick()
    await source._link.pulse.check()
    assert source.lag == {}
    assert await source.standing() in ({}, {f"{topic}/0": Standing(1, 0)})
    await kafka.produce(topic, [b"2"])
    assert bodies(await collect(source, 2)) == [b"1", b"2"]  # the first was neither stored nor acknowledged
    await source.close()


async def test_nobody_receiving_is_back_pressure(kafka: KafkaServer) -> None:
    """For longer than the session time-out nobody calls receive: the member keeps its partitions."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(100))
    settings = kafka_settings(kafka, topic, batch=10, session_timeout_seconds=1)
    source = KafkaSource("orders", settings, positions)
    await source.open()
    await run_through(source, positions, 10)
    await asyncio.sleep(2)  # the session time-out itself is under test
    await run_through(source, positions, 90)
    assert positions.withdrawn == []
    await source.close()
