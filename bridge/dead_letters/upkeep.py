"""What a bridge does with the dead letters that its file keeps: copies each to a broker, and lets old ones go."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.outbox.base import Depth
    from bridge.outbox.overview import OutboxAdmin
    from bridge.outbox.publisher import DeadLetterQueue
    from bridge.outbox.store import Store

log = structlog.get_logger(__name__)

T = TypeVar("T")
NOTE = "dead-letters/copied"  # the number of the last letter that is known to be there
COPIED_AT_ONCE = 100
LOOK_SECONDS = 1.0  # between two looks whether there are more, or fewer …
LOOKS = 60  # … and after so many it is asked anyway: one that dies again takes the place of one that was sent again
EXPIRY_SECONDS = 60.0  # between two looks for old ones
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0


class Outbox(Protocol):
    """What is asked of the outbox."""

    async def ask(self, run: Callable[[Store], T]) -> T:
        """See SqliteOutbox."""

    def depth(self) -> Depth:
        """See Outbox."""

    def noted(self, name: str) -> str:
        """See Outbox."""

    def note(self, name: str, text: str) -> None:
        """See Outbox."""


class Copying:
    """Gives every letter to a DeadLetterQueue, in order, at least once; the letters stay in the file.

    A broker that is away holds up nothing but the copies.
    """

    def __init__(
        self, outbox: Outbox, admin: OutboxAdmin, queue: DeadLetterQueue, copied: Callable[[int], None]
    ) -> None:
        """copied: told how many at once."""
        self._outbox = outbox
        self._admin = admin
        self._queue = queue
        self._copied = copied

    async def run(self) -> None:
        """Until it is cancelled."""
        wait_seconds = FIRST_WAIT_SECONDS
        try:
            while True:
                try:
                    await self._queue.open()
                    wait_seconds = FIRST_WAIT_SECONDS
                    await self._copy_all()
                except Exception as error:  # noqa: BLE001  whatever it is, the letters are safe, and only copies wait
                    log.warning("dead_letters_not_copied", reason=str(error), again_in=wait_seconds)
                    await self._queue.close()
                await asyncio.sleep(wait_seconds)
                wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)
        finally:
            await self._queue.close()

    async def _copy_all(self) -> None:
        seen: Depth | None = None
        looks = 0  # since it was asked
        after = int(self._outbox.noted(NOTE) or 0)
        while True:
            depth = self._outbox.depth()
            same = seen is not None and (depth.dead, depth.dead_bytes) == (seen.dead, seen.dead_bytes)
            if same and looks < LOOKS:
                looks += 1
                await asyncio.sleep(LOOK_SECONDS)
                continue
            looks = 0
            page = await asyncio.to_thread(self._admin.dead_letters, after, COPIED_AT_ONCE)
            if not page:
                seen = depth
                continue
            await self._queue.publish([stored.letter for stored in page])
            after = page[-1].number
            self._outbox.note(NOTE, str(after))  # lost with the process, some are copied once more
            self._copied(len(page))


class Expiry:
    """Deletes what was kept long enough."""

    def __init__(
        self, outbox: Outbox, keep: timedelta, now_ms: Callable[[], int], expired: Callable[[int], None]
    ) -> None:
        """now_ms: Unix epoch. expired: told how many at once."""
        self._outbox = outbox
        self._keep_ms = keep // timedelta(milliseconds=1)
        self._now_ms = now_ms
        self._expired = expired

    async def run(self) -> None:
        """Until it is cancelled. Raises OutboxError where the outbox has failed."""
        while True:
            while await self.look():
                pass
            await asyncio.sleep(EXPIRY_SECONDS)

    async def look(self) -> int:
        """Let some of the old ones go; gives how many."""
        before_ms = self._now_ms() - self._keep_ms
        if not self._outbox.depth().dead:
            return 0
        gone = await self._outbox.ask(lambda store: store.letters.expire(before_ms))
        if gone:
            self._expired(gone)
            log.warning("dead_letters_expired", count=gone)
        return gone


class Upkeep:
    """Both, or one, or nothing."""

    def __init__(self, copying: Copying | None = None, expiry: Expiry | None = None) -> None:
        self._parts = [part for part in (copying, expiry) if part is not None]

    async def run(self) -> None:
        """Until it is cancelled; at once where there is nothing to do. Raises OutboxError."""
        await asyncio.gather(*(part.run() for part in self._parts))
