"""How much the log says: what the configuration has, or for a while what an operator has said instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from bridge import logs
from bridge.errors import OperationRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.logs import Level

log = structlog.get_logger(__name__)

LONGEST_SECONDS = 7 * 86_400.0


class Timer(Protocol):
    """What is to happen later."""

    def cancel(self) -> None:
        """It does not."""


class Told(NamedTuple):
    """How much the log says now, and why."""

    level: Level
    configured: Level
    who: str | None  # has said so; None: the configuration
    until_ms: int | None  # Unix epoch; None: until somebody says otherwise, or the process ends


class Loudness:
    """The level of this process's log. In the main event loop.

    later: calls a function after so many seconds.
    """

    def __init__(
        self, configured: Level, now_ms: Callable[[], int], later: Callable[[float, Callable[[], None]], Timer]
    ) -> None:
        self._now_ms = now_ms
        self._later = later
        self._timer: Timer | None = None
        self.told = Told(configured, configured, None, None)

    def configured(self, level: Level) -> Level:
        """A new configuration says this; what is in effect now. What an operator has said stays."""
        self.told = Told(level if self.told.who is None else self.told.level, level, *self.told[2:])
        return self.told.level

    def say(self, level: Level, who: str, seconds: float | None = None) -> None:
        """From now on, or only for so long. Raises OperationRefused."""
        if seconds is not None and not 1 <= seconds <= LONGEST_SECONDS:
            raise OperationRefused(f"a time is 1 to {LONGEST_SECONDS:.0f} seconds")
        self._stop()
        if seconds is not None:
            self._timer = self._later(seconds, self._over)
        until_ms = None if seconds is None else self._now_ms() + int(seconds * 1000)
        self._change(Told(level, self.told.configured, who, until_ms), "operator")

    def unsay(self) -> None:
        """As the configuration has it."""
        self._end("operator")

    def _over(self) -> None:
        self._end("time")

    def _end(self, why: str) -> None:
        self._stop()
        if self.told.who is not None:
            self._change(Told(self.told.configured, self.told.configured, None, None), why)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _change(self, new: Told, why: str) -> None:
        """Told at the more talkative of both levels, so that a log which grows quiet says that it does."""
        quieter = new.level.number > self.told.level.number
        if not quieter:
            logs.set_level(new.level)
        log.info("log_level_changed", log_level=new.level, configured=new.configured, why=why, until_ms=new.until_ms)
        if quieter:
            logs.set_level(new.level)
        self.told = new
