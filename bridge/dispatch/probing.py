"""How often parked calls ask whether their instances exist by now; pure, clock and chance come in.

A create's success unparks them anyway, so this is for instances that somebody else makes. With a quota all parked calls
together take at most a fiftieth of what it leaves to this process (its even line: without the reserve and the shares of
others): some of them soon, by ``retry.PROBES``, and beyond those each the more seldom, the more are parked. Without one
they ask PER_SECOND times a second at most. Each asks for the last time when its own time is over.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from bridge.dispatch.ration import Ration

if TYPE_CHECKING:
    from bridge.dispatch.budget import EvenLine

SOON = 0.008  # of the requests in any window
# Of the requests at any time. While ever more are parked, those that were first are asked for a second time beside the
# others' first: half as much again.
SPREAD = 0.008
# Without a quota. Also how soon an event is sent whose "not found" came back only after its create had been answered:
# it is parked then, although its instance is there, and nothing else wakes it.
PER_SECOND = 1000.0


class Crowd(NamedTuple):
    """Who shares the requests of a target."""

    target: str
    parked: int  # calls, the one in question included
    line: EvenLine | None  # what the process may use of the quota; None: there is none


class Probing:
    """The share of probes in each target's requests."""

    def __init__(self) -> None:
        self._soon: defaultdict[str, Ration] = defaultdict(partial(Ration, SOON))

    def wait_seconds(self, own_seconds: float, crowd: Crowd, now: float, chance: float) -> float:
        """How long a call waits that would wait ``own_seconds`` if it were alone; chance: 0 to 1."""
        if crowd.line is None:
            return max(own_seconds, crowd.parked / PER_SECOND)
        spread_seconds = crowd.parked * crowd.line.seconds / SPREAD * (0.75 + chance / 2)
        if own_seconds >= spread_seconds:
            return own_seconds
        soon = self._soon[crowd.target]
        if not soon.allows(crowd.line, now):
            return spread_seconds
        soon.take(crowd.line, now)
        return own_seconds
