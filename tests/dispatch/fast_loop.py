"""An event loop in which time runs faster: waits end sooner, and what reads its clock sees as much time pass."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import TypeVar

    T = TypeVar("T")


class Pace:
    """Seconds since it was made, of which ``speed`` pass in one; may be set at any time."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._since = time.monotonic()
        self._seconds = 0.0

    @property
    def speed(self) -> float:
        """How many seconds pass in one."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._seconds, self._since = self.seconds(), time.monotonic()
        self._speed = speed

    def seconds(self) -> float:
        """The time now."""
        return self._seconds + (time.monotonic() - self._since) * self._speed

    def now_ms(self) -> int:
        """The same as Unix milliseconds; for every thread."""
        return 1_700_000_000_000 + int(self.seconds() * 1000)


class _Selector(selectors.DefaultSelector):
    """Waits a part of what it is told."""

    pace: Pace

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / self.pace.speed)


class FastLoop(asyncio.SelectorEventLoop):
    """Its time is that of a pace."""

    def __init__(self, pace: Pace) -> None:
        selector = _Selector()
        selector.pace = self._pace = pace
        super().__init__(selector)

    def time(self) -> float:
        """Seconds since the pace was made."""
        return self._pace.seconds()


def fast_clock(speed: float) -> Callable[[], int]:
    """Unix milliseconds that run as fast; for every thread."""
    return Pace(speed).now_ms


def run_fast(main: Coroutine[object, object, T], speed: float | Pace) -> T:
    """Like asyncio.run."""
    pace = speed if isinstance(speed, Pace) else Pace(speed)
    with asyncio.Runner(loop_factory=lambda: FastLoop(pace)) as runner:
        return runner.run(main)
