"""Acknowledgements by many tasks at once: the broker is never told twice of one delivery."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from bridge.sources.rabbitmq import RabbitSource
from bridge.sources.rabbitmq_acks import RabbitAcks, RabbitBatch
from tests.sources.subjects import LIMIT_SECONDS, rabbit_settings, receive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiormq.abc import AbstractChannel

    from tests.services.rabbitmq import RabbitServer

Waves = list[list[RabbitBatch]]  # of batches acknowledged by tasks that start together

COUNT = 1000


def in_order(batches: Sequence[RabbitBatch], size: int = 100) -> Waves:
    return [list(batches[at : at + size]) for at in range(0, len(batches), size)]


def neighbours_swapped(batches: Sequence[RabbitBatch]) -> Waves:
    waves = in_order(batches)
    for at in range(0, len(waves) - 1, 2):
        waves[at], waves[at + 1] = waves[at + 1], waves[at]
    return waves


def second_first(batches: Sequence[RabbitBatch]) -> Waves:
    return [[batches[1]], [batches[0], *batches[2:3]], list(batches[3:])]


def eight_at_once(batches: Sequence[RabbitBatch]) -> Waves:
    return in_order(batches, 8)


def all_backwards(batches: Sequence[RabbitBatch]) -> Waves:
    return [list(batches)[::-1]]


async def acknowledge(waves: Waves) -> None:
    """Each batch by a task of its own, with the loop free to go on between waves."""
    dice = random.Random(1)
    tasks: list[asyncio.Task[None]] = []
    for wave in waves:
        tasks += [asyncio.create_task(batch.ack()) for batch in wave]
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.gather(*tasks)


@pytest.mark.rabbitmq
@pytest.mark.parametrize(
    ("size", "arrange"),
    [(1, in_order), (1, neighbours_swapped), (1, all_backwards), (300, second_first), (10, eight_at_once)],
)
async def test_many_tasks_at_once(rabbitmq: RabbitServer, size: int, arrange: Callable[..., Waves]) -> None:
    """In whatever order and however many at once: the channel stays open, and nothing is left in the queue."""
    queue = await rabbitmq.queue()
    await rabbitmq.publish(queue, [b"%d" % number for number in range(COUNT)])
    source = RabbitSource("orders", rabbit_settings(rabbitmq, queue, max_records=size))
    await source.open()
    batches: list[RabbitBatch] = []
    while sum(len(batch.messages) for batch in batches) < COUNT:
        batch = await receive(source)
        assert isinstance(batch, RabbitBatch)
        batches.append(batch)
    await acknowledge(arrange(batches))
    await rabbitmq.publish(queue, [b"after"])
    (after,) = (await receive(source)).messages  # a channel that was closed gives nothing more
    assert (after.body, after.redelivered) == (b"after", False)
    assert source.connected
    await source.close()
    await source.open()
    (again,) = (await receive(source)).messages
    assert (again.body, again.redelivered) == (b"after", True)
    await source.close()


class SlowChannel:
    """Takes acknowledgements through a queue of ten frames, as the client does, and judges them, as the broker does."""

    def __init__(self, count: int) -> None:
        self.unacknowledged = set(range(1, count + 1))
        self.frames = 0
        self.refused: list[tuple[int, bool]] = []
        self.rejected: list[int] = []
        self._queue: asyncio.Queue[tuple[int, bool]] = asyncio.Queue(10)

    async def basic_ack(self, tag: int, *, multiple: bool = False, wait: bool = True) -> None:
        assert not wait
        await self._queue.put((tag, multiple))

    async def basic_reject(self, tag: int, *, requeue: bool = True, wait: bool = True) -> None:
        assert not requeue
        self.rejected.append(tag)
        await self.basic_ack(tag, wait=wait)

    async def read(self) -> None:
        while True:
            tag, multiple = await self._queue.get()
            self.frames += 1
            if tag not in self.unacknowledged:
                self.refused.append((tag, multiple))
            self.unacknowledged -= set(range(1, tag + 1)) if multiple else {tag}
            self._queue.task_done()

    async def drained(self) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            await self._queue.join()


def acks_of(channel: object, lost: list[str], limit_seconds: float = 20) -> RabbitAcks:
    stand_in: AbstractChannel = channel  # type: ignore[assignment]  # the one method that is used
    return RabbitAcks(stand_in, limit_seconds, lost.append, {"commits": 0})


async def test_what_waits_for_the_client_becomes_one_frame() -> None:
    """A thousand batches that are done in order at once take a handful of frames, not a thousand."""
    channel, lost = SlowChannel(COUNT), list[str]()
    acks = acks_of(channel, lost)
    reading = asyncio.create_task(channel.read())
    await acknowledge([[RabbitBatch([], acks.give(tag, tag), acks) for tag in range(1, COUNT + 1)]])
    await channel.drained()
    reading.cancel()
    assert (channel.refused, channel.unacknowledged, lost) == ([], set(), [])
    assert channel.frames < 20


async def test_a_task_that_is_cancelled_holds_nobody_up() -> None:
    """The frame that it waited to send is sent by the next one."""
    channel, lost = SlowChannel(100), list[str]()
    acks = acks_of(channel, lost)
    first, second, third = [RabbitBatch([], acks.give(at, at + 29), acks) for at in (1, 31, 61)]
    sending = asyncio.create_task(second.ack())  # thirty frames, of which ten find room
    waiting = asyncio.create_task(first.ack())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    sending.cancel()
    reading = asyncio.create_task(channel.read())
    await asyncio.wait({sending, waiting}, timeout=LIMIT_SECONDS)
    assert sending.cancelled()
    await third.ack()
    await channel.drained()
    reading.cancel()
    assert (channel.refused, channel.unacknowledged, lost) == ([], set(range(91, 101)), [])


async def test_a_client_that_takes_no_frames_is_lost() -> None:
    """Nobody reads: within the time limit the source hears of it, and no task waits for ever."""
    channel, lost = SlowChannel(100), list[str]()
    acks = acks_of(channel, lost, limit_seconds=0.05)
    first, second = [RabbitBatch([], acks.give(at, at + 49), acks) for at in (1, 51)]
    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.gather(second.ack(), first.ack())
    assert lost == ["acknowledgements cannot be sent"]


@pytest.mark.parametrize("arrange", [in_order, neighbours_swapped, all_backwards, eight_at_once])
async def test_what_is_rejected_is_not_acknowledged(arrange: Callable[..., Waves]) -> None:
    """Among the others, in whatever order: the broker hears of each delivery once, of a rejected one that it is."""
    channel, lost = SlowChannel(COUNT), list[str]()
    acks = acks_of(channel, lost)
    reading = asyncio.create_task(channel.read())
    batches = [RabbitBatch([], acks.give(tag, tag, rejected=tag % 7 == 0), acks) for tag in range(1, COUNT + 1)]
    await acknowledge(arrange(batches))
    await channel.drained()
    reading.cancel()
    assert (channel.refused, channel.unacknowledged, lost) == ([], set(), [])
    assert sorted(channel.rejected) == list(range(7, COUNT + 1, 7))
