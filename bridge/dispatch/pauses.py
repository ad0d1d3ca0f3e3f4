"""What is paused, until when, and whether somebody is trying it out; clock comes in, acts on nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.dispatch.retry import Backoff

if TYPE_CHECKING:
    from bridge.outbox.base import Queue


# A missing workflow or a refused token needs a person. A probe a minute costs little and finds the repair soon enough.
PROBES = Backoff(base_seconds=2.0, cap_seconds=60.0)
QUOTA_BLOCK_SECONDS = 300.0  # how long the API blocks a token that went over its quota, where it does not say
SHORTEST_BLOCK_SECONDS = 1.0  # the API rounds up to seconds; 0 is what only another server in between would say
LONGEST_BLOCK_SECONDS = 3600.0  # what is said beyond that is not believed


def block_seconds(retry_after_seconds: float | None) -> float:
    """How long a 429 blocks, by its ``retry-after``; None: it has none."""
    if retry_after_seconds is None:
        return QUOTA_BLOCK_SECONDS
    return min(max(retry_after_seconds, SHORTEST_BLOCK_SECONDS), LONGEST_BLOCK_SECONDS)


@dataclass(slots=True)
class Pause:
    """One thing that is paused."""

    reason: str
    until_ms: int
    failures: int = 1
    probing: bool = False  # one request is under way to see whether it works again


class Pauses:
    """Targets and workflows that must not be called now. After the pause one probe goes out; its success ends it."""

    def __init__(self) -> None:
        self._pauses: dict[str | Queue, Pause] = {}

    def allows(self, scope: str | Queue, now_ms: int) -> bool:
        """Whether a request may go there now."""
        pause = self._pauses.get(scope)
        return pause is None or (now_ms >= pause.until_ms and not pause.probing)

    def started(self, scope: str | Queue) -> bool:
        """A request was sent there. Returns whether it is the probe of a pause."""
        pause = self._pauses.get(scope)
        if pause is not None:
            pause.probing = True
        return pause is not None

    def probed(self, scope: str | Queue, *, works: bool) -> bool:
        """The probe has ended, without a reason to pause again. Returns whether this ended the pause."""
        pause = self._pauses.get(scope)
        if pause is None or not pause.probing:
            return False
        pause.probing = False
        if works:
            del self._pauses[scope]
        return works

    def hold(self, scope: str | Queue, reason: str, now_ms: int, seconds: float | None = None) -> bool:
        """Pause it: for ``seconds``, or longer each time. Returns whether it was going until now."""
        pause = self._pauses.get(scope)
        failures = 1 if pause is None else pause.failures + (pause.probing or now_ms >= pause.until_ms)
        wait_seconds = PROBES.bound_seconds(failures) if seconds is None else seconds
        until_ms = max(now_ms + int(wait_seconds * 1000), pause.until_ms if pause else 0)
        self._pauses[scope] = Pause(reason, until_ms, failures)
        return pause is None

    def next_ms(self, now_ms: int) -> int | None:
        """When the next pause is over; None: nothing will change by waiting."""
        return min((pause.until_ms for pause in self._pauses.values() if pause.until_ms > now_ms), default=None)

    def reasons(self) -> dict[str | Queue, str]:
        """What is paused now, and why."""
        return {scope: pause.reason for scope, pause in self._pauses.items()}

    def labels(self) -> list[tuple[str, str, str]]:
        """The same as target, workflow ("": all of them) and reason."""
        return [
            (scope, "", pause.reason) if isinstance(scope, str) else (*scope, pause.reason)
            for scope, pause in self._pauses.items()
        ]
