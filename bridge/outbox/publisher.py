"""Publishes the dead letters of the memory outbox, which has nowhere to keep them; where to, as a contract."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from bridge.errors import OutboxError
from bridge.outbox.receipts import fail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.outbox.base import DeadLetter

log = structlog.get_logger(__name__)


class DeadLetterQueue(Protocol):
    """Where dead letters go that the outbox itself does not keep: a Kafka topic or a RabbitMQ exchange."""

    async def open(self) -> None:
        """Connect; raises OutboxError when that is not possible."""

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Return once the broker has confirmed every letter; retries until then."""

    async def close(self) -> None:
        """Let go of the broker; never raises."""


class Publisher:
    """One task that gives letters to a DeadLetterQueue, all that wait at once. ``queue`` None: letters are dropped.

    waiting: letters not confirmed yet, waiting_bytes: the bodies of their messages. discarded: letters dropped.
    """

    def __init__(self, queue: DeadLetterQueue | None) -> None:
        self.waiting = 0
        self.waiting_bytes = 0
        self.discarded = 0
        self.failure: OutboxError | None = None
        self._queue = queue
        self._work: list[tuple[Sequence[DeadLetter], asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect. Raises OutboxError."""
        if self._queue is not None:
            await self._queue.open()
            self._task = asyncio.get_running_loop().create_task(self._run(self._queue))

    def publish(self, letters: Sequence[DeadLetter]) -> asyncio.Future[None]:
        """The future is done when every letter is confirmed, or dropped on purpose; it fails with OutboxError."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._queue is None:
            self.discarded += len(letters)
            log.warning("dead_letters_discarded", count=len(letters), reason=letters[0].reason, total=self.discarded)
            done.set_result(None)
        elif self.failure is not None:
            fail(done, self.failure)
        else:
            self._work.append((letters, done))
            self.waiting += len(letters)
            self.waiting_bytes += _bytes(letters)
            self._wake.set()
        return done

    async def _run(self, queue: DeadLetterQueue) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            work, self._work = self._work, []
            try:
                await queue.publish([letter for letters, _ in work for letter in letters])
            except asyncio.CancelledError:
                self._fail(work, OutboxError("the outbox was closed before the dead letters were published"))
                raise
            except Exception as error:  # noqa: BLE001  whatever it is, the letters are not safe
                self._fail(work, OutboxError(f"dead letters cannot be published: {error}"))
                return
            for letters, done in work:
                self.waiting -= len(letters)
                self.waiting_bytes -= _bytes(letters)
                if not done.done():
                    done.set_result(None)

    def _fail(self, work: list[tuple[Sequence[DeadLetter], asyncio.Future[None]]], error: OutboxError) -> None:
        self.failure = error
        for _, done in [*work, *self._work]:
            fail(done, error)
        self._work = []

    async def close(self) -> None:
        """Give up what is not confirmed, and let go of the broker."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._fail([], OutboxError("the outbox is closed"))
        if self._queue is not None:
            await self._queue.close()


def _bytes(letters: Sequence[DeadLetter]) -> int:
    return sum([len(letter.message.body or b"") for letter in letters])
