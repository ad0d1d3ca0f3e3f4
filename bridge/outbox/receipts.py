"""Receipts of the outboxes: a future that many may await and that none of them can cancel."""

from __future__ import annotations

import asyncio


class FutureReceipt:
    """A ``Receipt`` over a future."""

    __slots__ = ("_done",)

    def __init__(self, done: asyncio.Future[None], *, whole: bool = True) -> None:
        """whole: of its batch nothing was withdrawn. Else it never resolves, and nobody has to wait for it."""
        self._done = done
        if not whole:
            done.cancel()

    async def wait(self) -> None:
        """See Receipt. Raises CancelledError when the batch was withdrawn: the broker must not be told anything."""
        await asyncio.shield(self._done)


class Open:
    """A batch whose calls are on their way; resolves its receipt's future with the last of them.

    Begins with one part, the taking in of the batch itself: whoever does that adds the others and settles it.
    """

    __slots__ = ("_done", "_remaining")

    def __init__(self, done: asyncio.Future[None]) -> None:
        self._done = done
        self._remaining = 1

    def add(self) -> None:
        """One more part has to become safe."""
        self._remaining += 1

    def settled(self) -> None:
        """One more part is safe."""
        self._remaining -= 1
        if not self._remaining and not self._done.done():
            self._done.set_result(None)

    def settled_by(self, published: asyncio.Future[None]) -> None:
        """The part that consists of dead letters has been published, or failed."""
        error = published.exception()
        if error is None:
            self.settled()
        else:
            self.fail(error)

    def withdraw(self) -> None:
        """Some of it was dropped: the receipt never resolves, and nobody has to wait for it any longer."""
        self._done.cancel()

    def fail(self, error: BaseException) -> None:
        """It never will be safe."""
        fail(self._done, error)


def fail(done: asyncio.Future[None], error: BaseException) -> None:
    """Let waiters raise; nobody has to wait."""
    if not done.done():
        done.set_exception(error)
        done.exception()  # marks it as seen: a receipt that nobody awaits is no defect
