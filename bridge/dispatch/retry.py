"""When a call that failed is made again; pure, clock and randomness come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Backoff(NamedTuple):
    """Exponential, with full jitter: the wait is uniform between zero and the bound, so that callers spread out."""

    base_seconds: float = 0.5
    cap_seconds: float = 60.0

    def bound_seconds(self, attempt: int) -> float:
        """The longest wait after attempt number ``attempt`` (from 1)."""
        return min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 32))

    def wait_ms(self, attempt: int, random: Callable[[], float]) -> int:
        """How long to wait after attempt number ``attempt`` (from 1)."""
        return int(self.bound_seconds(attempt) * random() * 1000)


CALLS = Backoff(base_seconds=0.5, cap_seconds=60.0)
# A parked event is asked for again now and then; its create's success unparks it long before, as a rule. The floor of
# half the bound keeps probes from eating the budget of requests.
PROBES = Backoff(base_seconds=1.0, cap_seconds=60.0)
