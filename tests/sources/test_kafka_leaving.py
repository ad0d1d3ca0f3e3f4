"""Partitions on their way to another member, while the outbox waits for calls in flight; no broker is needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from bridge.caution.caution import Caution
from bridge.errors import OutboxError
from bridge.intake import Current, Reader
from bridge.message import Message, Position
from bridge.sources.kafka import KafkaSource, _Link
from bridge.sources.kafka_commits import Commits, KafkaBatch, label
from bridge.sources.kafka_holdings import Holdings
from bridge.sources.kafka_offsets import Acks
from tests.sources.subjects import LIMIT_SECONDS, OutboxPositions
from tests.test_intake import HeldOutbox, WaitingDecoder, translation, until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridge.outbox.base import Outbox
    from bridge.sources.kafka_health import Pulse
    from bridge.sources.kafka_placement import Placement
    from bridge.sources.kafka_settings import KafkaSettings

PARTITION = TopicPartition("shop.orders", 0)
NAME = label(PARTITION)


class Consumer:
    """Takes offsets."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.taken.append(offsets[PARTITION])

    def pause(self, *_: TopicPartition) -> None:
        pass

    def seek(self, partition: TopicPartition, offset: int) -> None:
        pass


class BusyPositions(OutboxPositions):
    """Of an outbox with a call in flight; it ends, in whatever way, when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def withdraw(self, source: str, partitions: Iterable[str]) -> None:
        await super().withdraw(source, partitions)
        await self.ended


class Source(KafkaSource):
    """Connected to nothing; gives out the batches that the test makes."""

    def __init__(self) -> None:
        self.positions, self.consumer = BusyPositions(), Consumer()
        super().__init__("orders", cast("KafkaSettings", None), self.positions)
        consumer = cast("AIOKafkaConsumer", self.consumer)
        counts = {"commits": 0, "rebalances": 0}
        self.commits = Commits("orders", consumer, self.positions, LIMIT_SECONDS, counts)
        self.commits.acks[PARTITION] = Acks(0, None)
        self.commits.held.add(PARTITION)
        self.holdings = Holdings(consumer, self.positions, cast("Placement", None), self.commits)
        self.batches: asyncio.Queue[KafkaBatch] = asyncio.Queue()
        self._link = _Link(consumer, self.holdings, cast("Pulse", None))

    async def receive(self) -> KafkaBatch:
        return await self.batches.get()

    def give(self, offset: int) -> None:
        body = b'{"type":"order","n":%d}' % offset
        message = Message("orders", f"{NAME}/{offset}", PARTITION.topic, None, (), body, None, {"offset": offset})
        part = self.commits.acks[PARTITION].give(offset + 1)
        self.batches.put_nowait(KafkaBatch([message], {NAME: Position(offset, -1)}, [part], self.commits))


async def test_what_is_decoded_while_partitions_leave_is_given_back() -> None:
    """It is neither stored nor committed: the next owner sends it. What was stored before is committed all the same."""
    source, outbox, missing = Source(), HeldOutbox(), WaitingDecoder()
    missing.up.set()
    current = Current(translation()._replace(decoder=missing))
    reader = Reader(source, current, cast("Outbox", outbox), Caution("orders", None), lambda: 0.0)
    reading = asyncio.create_task(reader.run())
    source.give(0)
    await until(lambda: len(outbox.receipts) == 1)
    missing.up.clear()
    source.give(1)
    await until(lambda: missing.tries >= 2)
    leaving = asyncio.create_task(source.holdings.release([PARTITION], LIMIT_SECONDS))
    await until(lambda: bool(source.positions.withdrawn))
    missing.up.set()
    await until(lambda: len(outbox.receipts) == 2)
    assert [len(intake.calls) for intake in outbox.intakes] == [1, 0]
    assert outbox.intakes[1].positions == {}
    for receipt in outbox.receipts:
        receipt.given.set()
    await until(lambda: source.consumer.taken == [1])
    assert not leaving.done()
    source.positions.ended.set_result(None)
    await asyncio.wait_for(leaving, LIMIT_SECONDS)
    assert (source.consumer.taken, list(source.assigned)) == ([1], [])
    reader.stop()
    await asyncio.wait_for(reading, LIMIT_SECONDS)


@pytest.mark.parametrize("end", [None, OutboxError("full"), ValueError("a defect"), asyncio.CancelledError()])
async def test_a_partition_that_comes_back_is_read_again(end: BaseException | None) -> None:
    """However its release ended; in between it is not read, and nothing of it is committed any more."""
    source = Source()
    assert list(source.assigned) == [NAME]
    leaving = asyncio.create_task(source.holdings.release([PARTITION], LIMIT_SECONDS))
    await until(lambda: bool(source.positions.withdrawn))
    assert (list(source.assigned), source.commits.held) == ([], {PARTITION})
    if isinstance(end, asyncio.CancelledError):
        leaving.cancel()
    elif end is None:
        source.positions.ended.set_result(None)
    else:
        source.positions.ended.set_exception(end)
    await asyncio.wait({leaving}, timeout=LIMIT_SECONDS)
    assert leaving.done()
    assert (list(source.assigned), source.commits.held) == ([], set())
    assert leaving.cancelled() or not isinstance(leaving.exception(), OutboxError)
    source.holdings.assigned([PARTITION], kept=[PARTITION])
    assert list(source.assigned) == [NAME]
