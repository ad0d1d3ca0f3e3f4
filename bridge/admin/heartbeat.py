"""How well the event loop keeps up, measured in it, and seen from another thread when it does not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 0.5  # between two beats


class Heartbeat:
    """Beats in the loop that starts it.

    seconds: a monotonic clock that any thread may read. lagged: told at each beat how many seconds late it comes.
    """

    def __init__(self, seconds: Callable[[], float], lagged: Callable[[float], None]) -> None:
        self._seconds = seconds
        self._lagged = lagged
        self._last = seconds()  # written by the loop, read by any thread
        self._timer: asyncio.TimerHandle | None = None

    @property
    def silent_seconds(self) -> float:
        """Since the last beat; for any thread."""
        return self._seconds() - self._last

    def start(self) -> None:
        """Begin."""
        self._last = self._seconds()
        self._timer = asyncio.get_running_loop().call_later(SECONDS, self._beat)

    def stop(self) -> None:
        """No timer stays behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        self._lagged(max(self.silent_seconds - SECONDS, 0.0))
        self.start()
