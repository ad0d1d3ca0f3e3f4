"""Time that goes faster: an event loop and clocks that count several seconds in one."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING

from bridge.app import Times

if TYPE_CHECKING:
    from collections.abc import Mapping


WAKING_SECONDS = 0.0005  # of real time: an idle processor's latency, which counts several times here


class _FastSelector(selectors.SelectSelector):
    """Waits a fraction of what it is asked to. ``select`` is exact to microseconds, ``epoll`` to milliseconds."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As it is, but for the time; its end is met exactly, whatever the computer takes to wake up."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        end = time.perf_counter() + timeout / self._speed
        ready = super().select(max(0.0, timeout / self._speed - WAKING_SECONDS))
        while not ready and time.perf_counter() < end:
            ready = super().select(0)
        return ready

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
