"""How many replicas of this bridge would have something to do now; pure, but for what looks at the process's own CPU.

Work counts only where another replica would help with it: not what is parked, delayed or paused, and not what waits for
the token's quota or the API's creation rate, which replicas share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bridge.outbox.base import Queue

BACKLOG = 10_000  # messages or calls that justify one more replica
MOST = 10.0  # replicas; nobody needs the figure to be larger
SAMPLE_SECONDS = 10.0  # over which the CPU is looked at, at least


class Load(NamedTuple):
    """What one process has to do."""

    busy: float  # share of one core that it uses, 0 to 1
    sendable: int  # calls that nothing but its own speed holds back
    lag: int  # messages at brokers that another replica could be given


class Standing(NamedTuple):
    """One source."""

    lag: int  # messages at the broker, not fetched
    partitions: int  # that this process reads
    paused: bool
    fixed: bool  # its partitions are assigned by the configuration: no replica takes some over


def useful_replicas(load: Load) -> float:
    """The replicas that this process's work would keep busy, itself included: 0 idle, 1 busy, more with a backlog.

    The sum over all processes is how many there should be.
    """
    return min(min(max(load.busy, 0.0), 1.0) + (load.sendable + load.lag) / BACKLOG, MOST)


def sendable(ready: int, loaded: Mapping[Queue, int], is_bound: Callable[[Queue], bool]) -> int:
    """Of the calls that are ready those that may go.

    loaded: of each queue, how many dispatch has in its hands. Where some queue is bound only the others' are counted,
    and only what is in hand.
    """
    free = [count for queue, count in loaded.items() if not is_bound(queue)]
    return ready if loaded and len(free) == len(loaded) else min(ready, sum(free))


def shareable(sources: Iterable[Standing], *, bound: bool) -> int:
    """Messages that another replica could be given, and would deliver sooner.

    bound: some target is paused, or waits for its quota: nobody knows whether the messages are for it.
    """
    if bound:
        return 0
    return sum(one.lag for one in sources if one.partitions > 1 and not one.paused and not one.fixed)


class Busy:
    """How much of a core the process uses, between two looks that are SAMPLE_SECONDS apart or more."""

    def __init__(self, cpu_seconds: Callable[[], float], seconds: Callable[[], float]) -> None:
        """Both rise: the process's CPU time, and a monotonic clock."""
        self._cpu_seconds = cpu_seconds
        self._seconds = seconds
        self._last = cpu_seconds(), seconds()
        self._share = 0.0

    def __call__(self) -> float:
        """0 to 1."""
        cpu, now = self._cpu_seconds(), self._seconds()
        if now - self._last[1] >= SAMPLE_SECONDS:
            self._share = min((cpu - self._last[0]) / (now - self._last[1]), 1.0)
            self._last = cpu, now
        return self._share
