"""What the counters say now and then: rates, a short history, and when a rule last matched. The clock comes in."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from bridge.console.shapes import Point, Rates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECONDS = 1.0  # between two samples
KEPT = 300  # samples
RATE_SAMPLES = 10  # that a rate is computed over


class Sample(NamedTuple):
    """Totals since the start, at one moment."""

    at_ms: int
    received: Mapping[str, float]  # messages by source
    matched: Mapping[str, float]  # messages by rule
    delivered: float  # calls
    retried: float
    dead: float
    waiting: int  # calls in the outbox
    oldest_seconds: float


class History:
    """The last samples."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=KEPT + 1)
        self._matched_ms: dict[str, int] = {}

    def add(self, sample: Sample) -> None:
        """The newest one."""
        before = self._samples[-1].matched if self._samples else {}
        for rule, count in sample.matched.items():
            if count > before.get(rule, 0):
                self._matched_ms[rule] = sample.at_ms
        self._samples.append(sample)

    def last_match_ms(self, rule: str) -> int | None:
        """Within SECONDS; None: not since the start."""
        return self._matched_ms.get(rule)

    def rates(self) -> Rates:
        """Over the last RATE_SAMPLES."""
        first, last = self._span()
        if first is None or last is None:
            return Rates(0.0, 0.0, 0.0, 0.0)
        seconds = _seconds(first, last)
        return Rates(
            _rate(sum(last.received.values()) - sum(first.received.values()), seconds),
            _rate(last.delivered - first.delivered, seconds),
            _rate(last.retried - first.retried, seconds),
            _rate(last.dead - first.dead, seconds),
        )

    def of_sources(self) -> Mapping[str, float]:
        """Messages received per second, by source."""
        first, last = self._span()
        return {} if first is None or last is None else _by_name(first.received, last.received, _seconds(first, last))

    def of_rules(self) -> Mapping[str, float]:
        """Messages matched per second, by rule."""
        first, last = self._span()
        return {} if first is None or last is None else _by_name(first.matched, last.matched, _seconds(first, last))

    def points(self) -> list[Point]:
        """One for each sample after the first."""
        samples = list(self._samples)
        return [_point(*pair) for pair in pairwise(samples)]

    def point(self) -> Point | None:
        """The newest one."""
        return _point(self._samples[-2], self._samples[-1]) if len(self._samples) > 1 else None

    def _span(self) -> tuple[Sample | None, Sample | None]:
        if len(self._samples) < 2:  # noqa: PLR2004  a rate has two ends
            return None, None
        return self._samples[max(0, len(self._samples) - 1 - RATE_SAMPLES)], self._samples[-1]


def _seconds(first: Sample, last: Sample) -> float:
    return max((last.at_ms - first.at_ms) / 1000, 0.001)


def _rate(count: float, seconds: float) -> float:
    return round(max(count, 0.0) / seconds, 3)


def _by_name(first: Mapping[str, float], last: Mapping[str, float], seconds: float) -> Mapping[str, float]:
    return {name: _rate(count - first.get(name, 0), seconds) for name, count in last.items()}


def _point(before: Sample, after: Sample) -> Point:
    seconds = _seconds(before, after)
    return Point(
        after.at_ms,
        _rate(sum(after.received.values()) - sum(before.received.values()), seconds),
        _rate(after.delivered - before.delivered, seconds),
        _rate(after.dead - before.dead, seconds),
        after.waiting,
        after.oldest_seconds,
    )


def drain_seconds(waiting: int, points: Sequence[Point]) -> float | None:
    """How long until nothing waits, as fast as it has shrunk lately; 0: nothing waits, None: it does not shrink."""
    if not waiting:
        return 0.0
    lately = points[-RATE_SAMPLES * 3 :]
    if len(lately) < 2:  # noqa: PLR2004  a speed has two ends
        return None
    shrunk, seconds = lately[0].waiting - lately[-1].waiting, (lately[-1].at_ms - lately[0].at_ms) / 1000
    return None if shrunk <= 0 or seconds <= 0 else round(waiting * seconds / shrunk, 1)
