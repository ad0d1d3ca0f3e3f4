"""How many instances may be created at once."""

from __future__ import annotations

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.dispatch.creations import Creations, Rates

RATES = Rates(per_workflow=100, per_account=300)


def answered(creations: Creations, workflow: str, count: int, at: float, seconds: float = 0.01) -> None:
    creations.ended(creations.sent(workflow, count, at), at + seconds)


def test_a_full_batch_fills_a_second() -> None:
    """After 100 of one workflow, its next go a second after the API counted those; other workflows go on."""
    creations = Creations(RATES)
    answered(creations, "a", 100, 0.0)
    assert creations.wait_seconds("a", 1, 0.01) == pytest.approx(1.0, abs=0.02)
    assert creations.wait_seconds("b", 100, 0.01) == 0


def test_small_requests_go_on_until_the_second_is_full() -> None:
    """The rate is about instances, not about requests."""
    creations = Creations(RATES)
    for n in range(99):
        answered(creations, "a", 1, n / 1000)
    assert creations.wait_seconds("a", 1, 0.1) == 0
    assert creations.wait_seconds("a", 2, 0.1) > 0.8


def test_the_account_has_a_rate_of_its_own() -> None:
    """Three workflows' batches fill it."""
    creations = Creations(RATES)
    for workflow in "abc":
        answered(creations, workflow, 100, 0.0)
    assert creations.wait_seconds("d", 1, 0.01) == pytest.approx(1.0, abs=0.02)


def test_a_refusal_slows_that_workflow_for_a_while() -> None:
    """It waits as it is told, then goes on at four fifths of the rate, and is back after a minute."""
    creations = Creations(RATES)
    creations.refused("a", 3.0, 0.0)
    assert creations.wait_seconds("a", 1, 0.0) == 3.0
    assert creations.wait_seconds("b", 1, 0.0) == 0
    assert creations.largest("a", 3.0) == 80
    assert 80 < creations.largest("a", 30.0) < 100
    assert creations.largest("a", 63.0) == 100


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), spread=st.floats(0.001, 0.08), workflows=st.integers(1, 5))
def test_no_second_has_too_many(seed: int, spread: float, workflows: int) -> None:
    """By the clock of the API, whatever the latency of each request: in no 990 ms over 100, nor 300 in all."""
    chance = random.Random(seed)
    creations = Creations(RATES)
    counted: list[tuple[float, str, int]] = []
    events: list[tuple[float, int, str, object]] = [(0.0, n, f"w{n}", None) for n in range(workflows)]
    number = workflows
    while events[0][0] < 20:
        now, _, workflow, creation = heapq.heappop(events)
        number += 1
        if creation is not None:
            creations.ended(creation, now)  # type: ignore[arg-type]
            continue
        count = chance.choice([1, 50, 100, 100])
        wait = creations.wait_seconds(workflow, count, now)
        if wait > 0:
            heapq.heappush(events, (now + wait, number, workflow, None))
            continue
        there, back = 0.02 + spread * chance.random(), 0.02
        counted.append((now + there, workflow, count))
        heapq.heappush(events, (now + there + back, number, workflow, creations.sent(workflow, count, now)))
        heapq.heappush(events, (now + 1e-6, number + 1_000_000, workflow, None))
    for at, workflow, _ in counted:
        second = [(name, count) for when, name, count in counted if at <= when < at + 0.99]
        assert sum(count for name, count in second if name == workflow) <= 100
        assert sum(count for _, count in second) <= 300
