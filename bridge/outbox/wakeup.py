"""What ``wait_for_work`` waits for: entries came, or the time of the next one in ``later`` has come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Wakeup:
    """An event that is set by ``tell`` and by a timer, once for each due time. ``clock``: Unix epoch milliseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._event = asyncio.Event()
        self._due_ms: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, *, gained: bool, next_due_ms: int | None) -> None:
        """Entries became ready, and/or this is now the next due time."""
        if gained:
            self._event.set()
        if next_due_ms != self._due_ms:
            self._due_ms = next_due_ms
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due_ms is None:
            return
        wait_ms = self._due_ms - self._clock()
        if wait_ms <= 0:
            self._event.set()
        else:
            self._timer = asyncio.get_running_loop().call_later(wait_ms / 1000, self._arm)  # again: it may be early

    async def wait(self) -> None:
        """Return when told since the last call."""
        await self._event.wait()
        self._event.clear()

    def stop(self) -> None:
        """No timer stays behind; whoever waits is woken."""
        self._due_ms = None
        self._arm()
        self._event.set()
