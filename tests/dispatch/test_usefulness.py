"""How many replicas would have something to do."""

from __future__ import annotations

import pytest

from bridge.dispatch.usefulness import Busy, Load, Standing, sendable, shareable, useful_replicas
from bridge.outbox.base import Queue

A, B = Queue("main", "a"), Queue("second", "b")


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (Load(0.0, 0, 0), 0.0),
        (Load(0.4, 0, 0), 0.4),
        (Load(1.7, 0, 0), 1.0),  # threads of the libraries: one process is no more than one replica's work
        (Load(1.0, 10_000, 0), 2.0),
        (Load(0.5, 5_000, 10_000), 2.0),
        (Load(1.0, 10**9, 10**9), 10.0),
    ],
)
def test_a_replica_is_worth_a_busy_process_or_a_backlog(load: Load, expected: float) -> None:
    """Idle ones add nothing, so that the sum over all falls when they are not needed."""
    assert useful_replicas(load) == pytest.approx(expected)


def test_what_waits_for_the_quota_counts_nothing() -> None:
    """Nor what is paused: more replicas would wait, too. Other queues count, as far as they are in hand."""
    assert sendable(50_000, {A: 4_000, B: 4_000}, lambda _: False) == 50_000
    assert sendable(50_000, {A: 4_000, B: 3_000}, lambda queue: queue == A) == 3_000
    assert sendable(50_000, {A: 4_000, B: 4_000}, lambda _: True) == 0
    assert sendable(0, {}, lambda _: True) == 0
    assert shareable([Standing(70_000, 12, paused=False, fixed=False)], bound=True) == 0


def test_only_what_another_replica_could_be_given_counts() -> None:
    """Not a source that is paused, not fixed partitions, and not one partition alone."""
    sources = [
        Standing(1, 12, paused=False, fixed=False),
        Standing(10, 12, paused=True, fixed=False),
        Standing(100, 12, paused=False, fixed=True),
        Standing(1_000, 1, paused=False, fixed=False),
    ]
    assert shareable(sources, bound=False) == 1


def test_busy_is_measured_over_some_seconds() -> None:
    """Who asks more often is told the same again."""
    times = {"cpu": 0.0, "now": 100.0}
    busy = Busy(lambda: times["cpu"], lambda: times["now"])
    assert busy() == 0.0
    times.update(cpu=5.0, now=109.0)
    assert busy() == 0.0
    times.update(cpu=5.0, now=110.0)
    assert busy() == 0.5
    times.update(cpu=5.1, now=111.0)
    assert busy() == 0.5
    times.update(cpu=105.0, now=130.0)
    assert busy() == 1.0
