"""Acknowledgements of one AMQP channel: one frame for an unbroken prefix, one per message elsewhere."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from aiormq.exceptions import AMQPError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiormq.abc import AbstractChannel

    from bridge.message import Message, Position


class TagRange:
    """The delivery tags of one batch: all from first to last, for a channel numbers its deliveries without gaps.

    rejected: the broker is told to drop the only one, or to give it to the queue's dead letter exchange.
    """

    __slots__ = ("done", "first", "last", "rejected")

    def __init__(self, first: int, last: int, *, rejected: bool = False) -> None:
        self.first = first
        self.last = last
        self.rejected = rejected
        self.done = False


class _Frame(NamedTuple):
    tag: int
    multiple: bool
    rejects: bool


class RabbitBatch:
    """What had arrived; see bridge.sources.base.Batch."""

    __slots__ = ("_acks", "_tags", "messages", "positions")

    def __init__(self, messages: Sequence[Message], tags: TagRange, acks: RabbitAcks) -> None:
        self.messages = messages
        self.positions: Mapping[str, Position] = {}
        self._tags = tags
        self._acks = acks

    async def ack(self) -> None:
        """On its way to the broker when this returns."""
        await self._acks.ack(self._tags)


class RabbitAcks:
    """Batches may be acknowledged in any order, by many tasks at once.

    In order, one frame with ``multiple`` does for as many batches as are done. A batch out of order is acknowledged
    message by message at once: a batch that has to wait must neither use up the prefetch count of the others nor have
    them repeated after a crash.

    What is sent is decided without waiting, and leaves in the order of the decisions: a broker that is told twice of
    one delivery, as by an overtaken frame whose deliveries a later ``multiple`` has covered, closes the channel.
    """

    def __init__(
        self, channel: AbstractChannel, limit_seconds: float, lose: Callable[[str], None], counts: dict[str, int]
    ) -> None:
        """counts: the source's own."""
        self._counts = counts
        self._channel = channel
        self._limit_seconds = limit_seconds
        self._lose = lose
        self._outstanding: deque[TagRange] = deque()
        self._frames: deque[_Frame] = deque()  # to be sent; at most one per delivery held
        self._sending = asyncio.Lock()
        self.given = 0  # the last delivery that was given out

    @property
    def held(self) -> int:
        """Deliveries that were given out and are not acknowledged; at most the prefetch count."""
        return sum([tags.last - tags.first + 1 for tags in self._outstanding if not tags.done])

    def give(self, first: int, last: int, *, rejected: bool = False) -> TagRange:
        """A batch of these deliveries was given out. rejected: see TagRange."""
        tags = TagRange(first, last, rejected=rejected)
        self.given = last
        self._outstanding.append(tags)
        return tags

    async def ack(self, tags: TagRange) -> None:
        """Does nothing on a connection that is gone: the broker will deliver again."""
        self._decide(tags)
        async with self._sending:
            try:
                while self._frames:
                    await self._send()
            except TimeoutError:  # an OSError too
                self._frames.clear()
                self._lose("acknowledgements cannot be sent")
            except (AMQPError, OSError, RuntimeError, asyncio.InvalidStateError):
                self._frames.clear()

    def _decide(self, tags: TagRange) -> None:
        tags.done = True
        if self._outstanding and self._outstanding[0] is tags:
            # Everything before it is acknowledged; what follows it and is done was acknowledged by itself.
            while self._outstanding and self._outstanding[0].done:
                self._outstanding.popleft()
            if self._frames and self._frames[-1].multiple and not tags.rejected:
                self._frames.pop()  # not sent yet, and this one says more
            self._frames.append(_Frame(tags.last, multiple=not tags.rejected, rejects=tags.rejected))
            return
        each = range(tags.first, tags.last + 1)
        self._frames.extend(_Frame(tag, multiple=False, rejects=tags.rejected) for tag in each)

    async def _send(self) -> None:
        """The next frame. The client's queue is short: this waits while the broker reads slowly."""
        frame = self._frames.popleft()
        try:
            async with asyncio.timeout(self._limit_seconds):
                if frame.rejects:
                    await self._channel.basic_reject(frame.tag, requeue=False, wait=False)
                else:
                    await self._channel.basic_ack(frame.tag, multiple=frame.multiple, wait=False)
                self._counts["commits"] += 1
        except asyncio.CancelledError:  # a frame that had to wait was not taken
            self._frames.appendleft(frame)
            raise
