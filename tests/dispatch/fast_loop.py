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


class _Selector(selectors.DefaultSelector):
    """Waits a part of what it is told."""

    speed = 1.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / self.speed)


class FastLoop(asyncio.SelectorEventLoop):
    """``speed`` seconds pass in one."""

    def __init__(self, speed: float) -> None:
        selector = _Selector()
        selector.speed = self._speed = speed
        self._began = time.monotonic()
        super().__init__(selector)

    def time(self) -> float:
        """Seconds since it was made."""
        return (time.monotonic() - self._began) * self._speed


def fast_clock(speed: float) -> Callable[[], int]:
    """Unix milliseconds that run as fast; for every thread."""
    began = time.monotonic()
    return lambda: 1_700_000_000_000 + int((time.monotonic() - began) * speed * 1000)


def run_fast(main: Coroutine[object, object, T], speed: float) -> T:
    """Like asyncio.run."""
    with asyncio.Runner(loop_factory=lambda: FastLoop(speed)) as runner:
        return runner.run(main)
