"""Acknowledgements of one AMQP channel: one frame for an unbroken prefix, one per message elsewhere."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from aiormq.exceptions import AMQPError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiormq.abc import AbstractChannel

    from bridge.message import Message, Position


class TagRange:
    """The delivery tags of one batch: all from first to last, for a channel numbers its deliveries without gaps."""

    __slots__ = ("done", "first", "last")

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last
        self.done = False


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
    """Batches may be acknowledged in any order.

    In order, one frame with ``multiple`` does for as many batches as are done. A batch out of order is acknowledged
    message by message at once: a batch that has to wait must neither use up the prefetch count of the others nor have
    them repeated after a crash.
    """

    def __init__(self, channel: AbstractChannel, limit_seconds: float, lose: Callable[[str], None]) -> None:
        self._channel = channel
        self._limit_seconds = limit_seconds
        self._lose = lose
        self._outstanding: deque[TagRange] = deque()

    def give(self, first: int, last: int) -> TagRange:
        """A batch of these deliveries was given out."""
        tags = TagRange(first, last)
        self._outstanding.append(tags)
        return tags

    async def ack(self, tags: TagRange) -> None:
        """Does nothing on a connection that is gone: the broker will deliver again."""
        tags.done = True
        try:
            async with asyncio.timeout(self._limit_seconds):
                await self._send(tags)
        except (AMQPError, OSError, RuntimeError, asyncio.InvalidStateError):
            return
        except TimeoutError:
            self._lose("acknowledgements cannot be sent")

    async def _send(self, tags: TagRange) -> None:
        if self._outstanding and self._outstanding[0] is tags:
            # Everything before it is acknowledged; what follows it and is done was acknowledged by itself.
            while self._outstanding and self._outstanding[0].done:
                self._outstanding.popleft()
            await self._channel.basic_ack(tags.last, multiple=True, wait=False)
            return
        for tag in range(tags.first, tags.last + 1):
            await self._channel.basic_ack(tag, wait=False)
