from __future__ import annotations

from bridge.dispatch.pauses import Pauses
from bridge.outbox.base import Queue

WORKFLOW = Queue("main", "w")


def test_a_pause_concerns_its_scope_alone() -> None:
    """A missing workflow leaves the others of its target alone."""
    pauses = Pauses()
    assert pauses.hold(WORKFLOW, "workflow_missing", 0)
    assert not pauses.allows(WORKFLOW, 0)
    assert pauses.allows(Queue("main", "other"), 0)
    assert pauses.allows("main", 0)


def test_one_probe_at_a_time() -> None:
    """After the pause one request goes; others wait for what becomes of it."""
    pauses = Pauses()
    pauses.hold(WORKFLOW, "workflow_missing", 0)
    assert pauses.allows(WORKFLOW, 2000)
    pauses.started(WORKFLOW)
    assert not pauses.allows(WORKFLOW, 2000)
    assert pauses.probed(WORKFLOW, works=True)
    assert pauses.allows(WORKFLOW, 2000)


def test_a_failed_probe_makes_the_pause_longer() -> None:
    """Each failed probe doubles the wait; failures of requests that were still in flight do not."""
    pauses = Pauses()
    pauses.hold("main", "unauthorized", 0)
    pauses.hold("main", "unauthorized", 100)
    assert pauses.next_ms(100) == 2100
    pauses.started("main")
    pauses.hold("main", "unauthorized", 3000)
    assert pauses.next_ms(3000) == 7000


def test_the_api_says_how_long() -> None:
    """A quota block lasts as long as ``retry-after`` says, and is not shortened by a second answer."""
    pauses = Pauses()
    pauses.hold("main", "rate_limited", 0, 300)
    pauses.hold("main", "rate_limited", 10, 1)
    assert pauses.next_ms(10) == 300_000


def test_what_was_under_way_does_not_end_a_pause() -> None:
    """The answers of requests that were sent before a quota block say nothing about it."""
    pauses = Pauses()
    pauses.hold("main", "rate_limited", 0, 300)
    assert not pauses.probed("main", works=True)
    assert not pauses.allows("main", 1000)
