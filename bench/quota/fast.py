"""Time that goes faster: an event loop and clocks that count several seconds in one."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING

from bridge.app import Times

if TYPE_CHECKING:
    from collections.abc import Mapping


class _FastSelector(selectors.SelectSelector):
    """Waits a fraction of what it is asked to. ``select`` is exact to microseconds, ``epoll`` to milliseconds."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As it is, but for the time."""
        return super().select(timeout if timeout is None else timeout / self._speed)

    def get_map(self) -> Mapping[object, selectors.SelectorKey]:
        """As it is; named because the type of the base is wider."""
        return super().get_map()


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers run out so much sooner."""

    def __init__(self, speed: float) -> None:
        super().__init__(_FastSelector(speed))
        self._speed = speed
        self._began = time.monotonic()

    def time(self) -> float:
        """Seconds, counted as fast."""
        return self._began + (time.monotonic() - self._began) * self._speed


def fast_times(speed: float) -> Times:
    """Clocks from now on."""
    started, began = time.time_ns(), time.monotonic_ns()
    return Times(
        lambda: int(started + (time.monotonic_ns() - began) * speed) // 1_000_000,
        lambda: time.monotonic() * speed,
    )
