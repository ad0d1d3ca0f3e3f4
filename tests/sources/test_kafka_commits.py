"""When offsets are committed; a consumer that only counts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiokafka import AIOKafkaConsumer, TopicPartition

from bridge.sources import kafka_commits
from bridge.sources.kafka_commits import GATHER_SECONDS, Commits, KafkaBatch
from bridge.sources.kafka_offsets import Acks
from tests.sources.subjects import LIMIT_SECONDS, OutboxPositions

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

PARTITION = TopicPartition("shop.orders", 0)


class Consumer:
    """Takes offsets."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """As aiokafka does, but for the broker."""
        self.taken.append(offsets[PARTITION])


def committing() -> tuple[Commits, Consumer]:
    consumer = Consumer()
    commits = Commits("orders", cast("AIOKafkaConsumer", consumer), OutboxPositions(), LIMIT_SECONDS, {"commits": 0})
    commits.acks[PARTITION] = Acks(0, None)
    commits.held.add(PARTITION)
    return commits, consumer


async def acknowledge(commits: Commits, offset: int) -> None:
    await KafkaBatch((), {}, [commits.acks[PARTITION].give(offset + 1)], commits).ack()


async def test_messages_that_come_one_by_one_share_a_commit() -> None:
    """A slow topic costs a few commits a second, not one for each message; the last one is committed all the same."""
    commits, consumer = committing()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for offset in range(40):
        await acknowledge(commits, offset)
        await asyncio.sleep(GATHER_SECONDS / 10)
    async with asyncio.timeout(LIMIT_SECONDS):
        while consumer.taken[-1:] != [40]:
            await asyncio.sleep(GATHER_SECONDS / 10)
    assert len(consumer.taken) <= (loop.time() - began) / GATHER_SECONDS + 1
    assert consumer.taken == sorted(consumer.taken)


async def test_nobody_who_waits_for_a_commit_waits_for_company(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before partitions go, and at the end."""
    monkeypatch.setattr(kafka_commits, "GATHER_SECONDS", 3_600.0)
    commits, consumer = committing()
    await acknowledge(commits, 0)
    await commits.flush(LIMIT_SECONDS)
    assert consumer.taken == [1]


async def test_what_is_not_held_any_more_is_not_committed() -> None:
    """It was the next owner's when the time had come."""
    commits, consumer = committing()
    await acknowledge(commits, 0)
    commits.held.clear()
    await commits.flush(LIMIT_SECONDS)
    assert consumer.taken == []
