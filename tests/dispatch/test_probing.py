"""How many requests parked calls make: a simulation of calls that ask again and again, no clock and no network."""

from __future__ import annotations

import heapq
import random

import pytest

from bridge.dispatch.budget import EvenLine
from bridge.dispatch.probing import PER_SECOND, SOON, SPREAD, Crowd, Probing
from bridge.dispatch.retry import PROBES

HOUR = 3600.0


def simulate(line: EvenLine | None, arrivals: list[float], stays: float, end: float) -> list[float]:
    """When calls asked again, that were parked then and stay for so long."""
    chance, probing = random.Random(1), Probing()
    asked: list[float] = []
    due = [(at, number, 0, at + stays) for number, at in enumerate(arrivals)]
    heapq.heapify(due)
    parked: set[int] = set()
    while due and due[0][0] < end:
        now, number, attempts, until = heapq.heappop(due)
        parked.discard(number)
        if attempts and now < until:
            asked.append(now)
        if now >= until:
            continue
        own = PROBES.bound_seconds(attempts + 1) * (0.5 + chance.random() / 2)
        crowd = Crowd("main", len(parked) + 1, line)
        wait = probing.wait_seconds(own, crowd, now, chance.random())
        parked.add(number)
        heapq.heappush(due, (min(now + wait, until), number, attempts + 1, until))
    return asked


def most_in(asked: list[float], seconds: float) -> int:
    """The most in any time of that length."""
    return max([sum(at <= other < at + seconds for other in asked) for at in asked], default=0)


LINES = [EvenLine(1080, 300), EvenLine(108, 300), EvenLine(54, 300), EvenLine(90_000, 300), EvenLine(18, 2)]
CROWDS = {
    "alone": ([0.0], HOUR),
    "a few": ([0.0] * 5, HOUR),
    "a thousand at once": ([0.0] * 1000, HOUR),
    "a thousand as the budget allows": ([n * 0.278 for n in range(1000)], HOUR),
    "one after the other": ([n * 3.0 for n in range(1200)], 3.0),
    "ever more": ([n * 10.0 for n in range(360)], HOUR),
}


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.requests} in {line.window_seconds} s")
@pytest.mark.parametrize("crowd", CROWDS)
def test_probes_take_a_fiftieth_of_the_requests_at_most(crowd: str, line: EvenLine) -> None:
    """Whatever the quota, the share and the number of parked calls; over an hour, in which none of them is found."""
    arrivals, stays = CROWDS[crowd]
    asked = simulate(line, arrivals, stays, HOUR)
    assert len(asked) <= 0.02 * HOUR / line.seconds


def test_a_call_alone_asks_soon_and_then_seldom() -> None:
    """Its instance may be there in a moment: the first requests follow the backoff, later ones cost next to nothing."""
    asked = simulate(EvenLine(1080, 300), [0.0], HOUR, HOUR)
    assert asked[0] <= PROBES.base_seconds
    assert asked[4] <= sum(PROBES.bound_seconds(attempt) for attempt in range(1, 6))
    assert most_in(asked[8:], 300) <= 12


def test_without_a_quota_probes_are_bounded_by_the_second() -> None:
    """However many are parked: a gateway has other things to do, too."""
    for many in (1, 10, 100, 5_000):
        asked = simulate(None, [0.0] * many, HOUR, 600.0)
        assert len(asked) <= 600 * PER_SECOND * 1.35
    assert SOON + 1.5 * SPREAD <= 0.02
