"""Looks at the messages of RabbitMQ's queues and puts them back: none is acknowledged, nothing is declared.

A queue cannot be read without consuming. What was delivered goes back to its place when the channel closes, marked as
redelivered; a quorum queue counts the delivery.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bridge.errors import RecordMissing, SourceLost
from bridge.sources.rabbitmq import RabbitSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.message import Message
    from bridge.sources.rabbitmq_settings import RabbitSettings

POLL_SECONDS = 0.25


class RabbitReader:
    """The queues of a source. Every method raises SourceLost."""

    def __init__(self, name: str, settings: RabbitSettings, most: int) -> None:
        """most: messages that are taken out of a queue at once, 1 to 65,535; all of those asked for should be."""
        self.name = name
        looking = settings.model_copy(update={"declare": None, "bind": [], "prefetch": most})
        self._source = RabbitSource(name, looking)

    async def open(self) -> None:
        """Connect and consume."""
        await self._source.open()

    async def begin(self, at: str | int) -> None:
        """A queue has one place to begin at. Raises SourceLost for any other."""
        if at != "earliest":
            raise SourceLost(f"{self.name}: a queue can be read from its head only; leave out --from")

    async def receive(self) -> Sequence[Message]:
        """What has arrived, nothing after a while without any."""
        try:
            async with asyncio.timeout(POLL_SECONDS):
                return (await self._source.receive()).messages
        except TimeoutError:
            return []

    async def at(self, topic: str, partition: int, offset: int) -> Message:
        """A queue has no places. Raises RecordMissing."""
        raise RecordMissing(
            f"{self.name} is a queue of RabbitMQ, in which no message can be read in its place ({topic}/{partition}/"
            f"{offset}): write some to a file with `workflow-bridge record`, and explain one of them"
        )

    async def close(self) -> None:
        """Let go; the broker puts back what it delivered."""
        await self._source.close()
