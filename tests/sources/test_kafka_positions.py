"""Where a Kafka source goes on: commits, rewinds, topics made anew, expiry; on a real broker."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer

from bridge.errors import SourceLost
from bridge.message import Position
from bridge.sources import kafka_placement
from bridge.sources.kafka import KafkaSource
from bridge.sources.kafka_placement import Placement
from tests.sources.subjects import (
    OutboxPositions,
    bodies,
    collect,
    kafka_settings,
    open_again,
    receive,
    until,
)

if TYPE_CHECKING:
    from aiokafka import TopicPartition

    from bridge.message import Message
    from tests.services.kafka import KafkaServer

from tests.sources.kafka_steps import committed, is_committed, move_group, run_through, values

pytestmark = pytest.mark.kafka


async def test_positions_and_identity(kafka: KafkaServer) -> None:
    """A message is named by its place; a batch says the last offset and timestamp of each partition."""
    topic = await kafka.topic(2)
    await kafka.produce(topic, values(3), partition=0)
    await kafka.produce(topic, values(4), partition=1)
    source = KafkaSource("orders", kafka_settings(kafka, topic), OutboxPositions())
    await source.open()
    last: dict[str, Position] = {}
    messages: list[Message] = []
    while len(messages) < 7:
        batch = await receive(source)
        messages += batch.messages
        last |= batch.positions
    assert {message.id for message in messages} == {f"{topic}/0/{n}" for n in range(3)} | {
        f"{topic}/1/{n}" for n in range(4)
    }
    for message in messages:
        assert message.id == f"{topic}/{message.attributes['partition']}/{message.attributes['offset']}"
        assert message.channel == topic
        assert abs((message.timestamp_ms or 0) - time.time() * 1000) < 60_000
    assert {name: position.offset for name, position in last.items()} == {f"{topic}/0": 2, f"{topic}/1": 3}
    assert last[f"{topic}/0"].timestamp_ms == next(m.timestamp_ms for m in messages if m.id == f"{topic}/0/2")
    assert sorted(source.assigned) == [f"{topic}/0", f"{topic}/1"]
    assert source.lag == {f"{topic}/0": 0, f"{topic}/1": 0}
    assert source.received_ms == {name: position.timestamp_ms for name, position in last.items()}
    assert source.counts == {"rebalances": 1, "commits": 0, "skipped": 0}
    await source.close()


async def test_what_is_stored_but_not_committed_is_skipped(kafka: KafkaServer) -> None:
    """After a crash between storing and committing, the stored messages do not come again, and are committed."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10))
    first = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await first.open()
    batch = await receive(first)
    positions.store(batch)
    stored = len(batch.messages)
    await first.close()  # not acknowledged: as if killed after the transaction
    assert await committed(kafka, topic) == 0
    await kafka.produce(topic, values(5, start=10))
    second = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await second.open()
    assert bodies(await run_through(second, positions, 15 - stored)) == values(15)[stored:]
    assert second.counts["skipped"] == stored
    await second.close()
    assert await committed(kafka, topic) == 15
    assert positions.next == {f"{topic}/0": 15}


async def test_a_rewind_on_purpose_is_honoured(kafka: KafkaServer) -> None:
    """Offsets moved back below what the outbox knows as committed: the messages come again, the position is reset."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 10)
    await source.close()
    await move_group(kafka, topic, 4)
    await source.open()
    assert bodies(await run_through(source, positions, 6)) == values(6, start=4)
    assert positions.resets == [{f"{topic}/0": 4}]
    await source.close()


async def test_where_another_member_went_on_its_word_counts(kafka: KafkaServer) -> None:
    """A committed offset beyond what is stored here: reading goes on there, and the outbox is told."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 10)
    await source.close()
    await kafka.produce(topic, values(10, start=10))
    await move_group(kafka, topic, 15)
    await source.open()
    assert bodies(await run_through(source, positions, 5)) == values(5, start=15)
    assert positions.resets == []
    await source.close()


async def test_a_topic_made_anew_is_read_from_its_beginning(kafka: KafkaServer) -> None:
    """Deleted and created again while the bridge is down: the old offsets mean nothing."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10, prefix="old"))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 10)
    await source.close()
    await kafka.delete_topic(topic)
    await create_anew(kafka, topic)
    await kafka.produce(topic, values(20, prefix="new"))
    await source.open()
    assert bodies(await run_through(source, positions, 20)) == values(20, prefix="new")
    assert positions.resets == [{f"{topic}/0": 0}]
    await source.close()


async def create_anew(kafka: KafkaServer, topic: str) -> None:
    """Deletion ends in the background."""

    async def made() -> bool:
        try:
            async with asyncio.timeout(2):
                await kafka.create_topic(topic)
        except TimeoutError:  # the old one was still going away
            return False
        return True

    await until(made)


async def test_expired_offsets_go_on_after_what_is_stored(kafka: KafkaServer) -> None:
    """The broker forgot the group, the log is still the one we know: nothing comes twice, nothing is left out."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 10)
    await source.close()
    await kafka.produce(topic, values(5, start=10))
    forgotten = kafka_settings(kafka, topic, group_id=f"another-{topic}")  # has no commits, as after expiry
    source = KafkaSource("orders", forgotten, positions)
    await source.open()
    assert bodies(await run_through(source, positions, 5)) == values(5, start=10)
    assert positions.resets == []
    await source.close()


async def test_expired_offsets_of_many_partitions_are_found_in_time(kafka: KafkaServer) -> None:
    """Asked one after the other, they took longer than the source may be without an answer, however often it tried."""
    partitions = 2 * kafka_placement.ASKED_AT_ONCE + 1
    topic, positions = await kafka.topic(partitions), OutboxPositions()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for partition in range(partitions):
            sent = await producer.send_and_wait(topic, b"stored", partition=partition)
            positions.last[f"{topic}/{partition}"] = Position(sent.offset, sent.timestamp)
    await kafka.produce(topic, [b"new"], partition=partitions - 1)
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    assert bodies(await run_through(source, positions, 1)) == [b"new"]
    assert len(source.assigned) == partitions
    assert positions.resets == []
    await source.close()


async def test_a_slow_broker_is_not_a_topic_made_anew(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record that would tell does not come in time: SourceLost, and what is stored stays stored."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 10)
    await source.close()
    await kafka.produce(topic, values(5, start=10))
    forgotten = kafka_settings(
        kafka, topic, group_id=f"another-{topic}", lost_after_seconds=20, request_timeout_seconds=20
    )
    source = KafkaSource("orders", forgotten, positions)
    bounds = Placement.bounds

    async def freeze_after(*arguments: Any) -> dict[TopicPartition, tuple[int, int]]:
        found = await bounds(*arguments)
        kafka.freeze()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(kafka_placement, "RECORD_WAIT_MS", 500)
        patched.setattr(Placement, "bounds", freeze_after)
        await source.open()
        try:
            with pytest.raises(SourceLost, match=f"{topic}/0/9"):
                await receive(source)
        finally:
            kafka.thaw()
    assert positions.resets == []
    await open_again(source)
    assert bodies(await run_through(source, positions, 5)) == values(5, start=10)
    await source.close()


async def test_messages_that_expire_under_us_are_passed(kafka: KafkaServer) -> None:
    """Retention overtook the reader: it goes on with the oldest message that is left."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 10)
    await source.close()
    await kafka.produce(topic, values(10, start=10))
    await kafka.delete_records(topic, 0, 15)
    await source.open()
    assert bodies(await run_through(source, positions, 5)) == values(5, start=15)
    assert positions.resets == []
    await source.close()


async def test_latest_begins_at_the_end_and_remembers_it(kafka: KafkaServer) -> None:
    """`start_from: latest` leaves out what was there; what comes after the first opening is never left out."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10, prefix="old"))
    settings = kafka_settings(kafka, topic, start_from="latest")
    source = KafkaSource("orders", settings, positions)
    await source.open()
    waiting = asyncio.create_task(source.receive())
    await until(lambda: is_committed(kafka, topic, 10))
    waiting.cancel()
    await source.close()
    await kafka.produce(topic, values(5))
    source = KafkaSource("orders", settings, OutboxPositions())
    await source.open()
    assert bodies(await collect(source, 5)) == values(5)
    await source.close()


async def test_aborted_transactions_are_left_out_and_markers_committed(kafka: KafkaServer) -> None:
    """Only committed transactions are read; the group's offset comes to the end of the log, markers included."""
    topic = await kafka.topic()
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"tx-{topic}")
    async with producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted", partition=0)
        await producer.abort_transaction()
    source = KafkaSource("orders", kafka_settings(kafka, topic), OutboxPositions())
    await source.open()
    assert bodies(await collect(source, 1)) == [b"kept"]
    waiting = asyncio.create_task(source.receive())
    await until(lambda: is_committed(kafka, topic, 4))
    waiting.cancel()
    await source.close()


async def test_a_deleted_topic_is_noticed(kafka: KafkaServer) -> None:
    """A topic that goes away under the source surfaces as SourceLost, and the source comes back with it."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(3, prefix="old"))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 3)
    await kafka.delete_topic(topic)
    with pytest.raises(SourceLost):
        await collect(source, 1)
    await create_anew(kafka, topic)
    await kafka.produce(topic, values(2, prefix="new"))
    await open_again(source)
    assert bodies(await run_through(source, positions, 2)) == values(2, prefix="new")
    await source.close()
