"""The time by which calls are due: the time of day, and yet it goes on evenly until whoever waits by it says otherwise.

When the machine's clock is set, everything that was to wait for a span of time would wait for another one. So all that
waits goes by this clock, which takes no notice of that; once in a while ``was_set`` is asked by how much the clock was
set, and ``follow`` goes by the new time. The caller moves what was to wait for a span by as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# Less is not worth following: it is put right with the rest of it, if there is ever more. A machine that slept looks
# as if its clock had been set ahead, and that is what is wanted: nothing was tried meanwhile.
LEAST_MS = 1_000


def _never_set() -> int:
    return 0


def _goes_by_it(_by_ms: int) -> None:
    """It is the time of day itself."""


class Clock(NamedTuple):
    """Time and chance, from outside."""

    now_ms: Callable[[], int]  # Unix epoch: by which calls are due, and what is written down; see Timeline
    random: Callable[[], float]  # uniform in [0, 1)
    seconds: Callable[[], float]  # a steady clock, as fast as the event loop's own
    was_set: Callable[[], int] = _never_set  # see Timeline
    follow: Callable[[int], None] = _goes_by_it  # see Timeline

    def steady_ms(self) -> int:
        """Milliseconds of the steady clock."""
        return int(self.seconds() * 1000)


class Timeline:
    """now_ms: the time of day, Unix epoch. seconds: a steady clock, which nobody sets. Both from any thread."""

    def __init__(self, now_ms: Callable[[], int], seconds: Callable[[], float]) -> None:
        self._wall_ms = now_ms
        self._seconds = seconds
        self._ahead_ms = self._set_ms()

    def _set_ms(self) -> int:
        return self._wall_ms() - int(self._seconds() * 1000)

    def now_ms(self) -> int:
        """Unix epoch, milliseconds."""
        return int(self._seconds() * 1000) + self._ahead_ms

    def was_set(self) -> int:
        """By how many milliseconds the time of day was set ahead (or back: negative), beyond this one; mostly 0."""
        by_ms = self._set_ms() - self._ahead_ms
        return 0 if abs(by_ms) < LEAST_MS else by_ms

    def follow(self, by_ms: int) -> None:
        """Go by a time so much later from now on."""
        self._ahead_ms += by_ms
