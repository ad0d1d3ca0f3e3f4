"""What is paused, until when, and whether somebody is trying it out; clock comes in, acts on nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bridge.dispatch.retry import Backoff

if TYPE_CHECKING:
    from bridge.dispatch.batching import Endpoint
    from bridge.outbox.base import Queue

    Scope = str | Queue | Endpoint  # a target, a workflow, or one operation of a target

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


YIELD_MS = 500  # what others may try first, when the pause is over, is kept from who was refused last


@dataclass(slots=True)
class Pause:
    """One thing that is paused."""

    reason: str
    until_ms: int
    since_ms: int
    detail: str = ""  # what was answered last, in the API's words
    failures: int = 1
    probing: bool = False  # one request is under way to see whether it works again
    blocked_since: bool = False  # the API told for how long, after that request went out: it can show nothing of it
    last: Endpoint | None = None  # the request that was refused last, where another one may fare better


class Held(NamedTuple):
    """A pause, as people are told of it."""

    reason: str
    detail: str
    seconds: float  # that it has lasted


class Pauses:
    """What must not be called now. After the pause one probe goes out; its success ends it.

    All times are milliseconds of a steady clock.
    """

    def __init__(self) -> None:
        self._pauses: dict[Scope, Pause] = {}

    def allows(self, scope: Scope, now_ms: int, by: Endpoint | None = None) -> bool:
        """Whether a request may go there now; ``by`` such a request, which lets others try first if it was the last."""
        pause = self._pauses.get(scope)
        if pause is None:
            return True
        yields_ms = YIELD_MS if by is not None and by == pause.last else 0
        return now_ms >= pause.until_ms + yields_ms and not pause.probing

    def started(self, scope: Scope) -> bool:
        """A request was sent there. Returns whether it is the probe of a pause."""
        pause = self._pauses.get(scope)
        if pause is not None:
            pause.probing, pause.blocked_since = True, False
        return pause is not None

    def probed(self, scope: Scope, *, works: bool) -> bool:
        """The probe has ended, without a reason to pause again. Returns whether this ended the pause."""
        pause = self._pauses.get(scope)
        if pause is None or not pause.probing:
            return False
        pause.probing = False
        ended = works and not pause.blocked_since
        if ended:
            del self._pauses[scope]
        return ended

    def last(self, scope: Scope, endpoint: Endpoint) -> None:
        """Such a request was it that paused it."""
        self._pauses[scope].last = endpoint

    def was_last(self, scope: Scope, endpoint: Endpoint) -> bool:
        """Whether such a request was it, and nothing shows yet whether others fare better."""
        pause = self._pauses.get(scope)
        return pause is not None and pause.last == endpoint

    def hold(
        self,
        scope: Scope,
        reason: str,
        now_ms: int,
        seconds: float | None = None,
        *,
        probe: bool = False,
        detail: str = "",
    ) -> bool:
        """Pause it: for ``seconds``, or longer each time. Returns whether it was going until now.

        ``probe``: its own probe was refused. Any other request leaves the probe that is under way the only one.
        """
        going = scope not in self._pauses
        pause = self._pauses.setdefault(scope, Pause(reason, now_ms, now_ms, failures=0))
        tried, pause.probing = pause.probing and probe, pause.probing and not probe
        pause.failures += tried or (now_ms >= pause.until_ms and not pause.probing)
        wait_seconds = PROBES.bound_seconds(pause.failures) if seconds is None else seconds
        pause.until_ms = max(now_ms + int(wait_seconds * 1000), pause.until_ms)
        pause.blocked_since = pause.probing and (pause.blocked_since or seconds is not None)
        pause.reason, pause.detail, pause.last = reason, detail, None
        return going

    def paused(self, scope: Scope) -> bool:
        """Whether it is paused, or was and is not known to work again."""
        return scope in self._pauses

    def next_ms(self, now_ms: int) -> int | None:
        """When the next pause is over; None: nothing will change by waiting."""
        times = [pause.until_ms + more_ms for pause in self._pauses.values() for more_ms in (0, YIELD_MS)]
        return min((at_ms for at_ms in times if at_ms > now_ms), default=None)

    def held(self, now_ms: int) -> dict[Scope, Held]:
        """What is paused now, with all that is known of it."""
        return {
            scope: Held(pause.reason, pause.detail, max(now_ms - pause.since_ms, 0) / 1000)
            for scope, pause in self._pauses.items()
        }

    def reasons(self) -> dict[Scope, str]:
        """What is paused now, and why."""
        return {scope: pause.reason for scope, pause in self._pauses.items()}
