from __future__ import annotations

from bridge.dispatch.pauses import Held, Pauses
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
    pauses.hold("main", "unauthorized", 3000, probe=True)
    assert pauses.next_ms(3000) == 7000


def test_an_earlier_request_that_is_refused_late_lets_no_second_probe_go() -> None:
    """The probe that hangs stays the only one, whose refusal makes the pause longer once, and whose success ends it."""
    pauses = Pauses()
    pauses.hold("main", "unauthorized", 0)
    pauses.started("main")
    pauses.hold("main", "unauthorized", 3000)
    assert pauses.next_ms(3000) == 5000
    assert not pauses.allows("main", 60_000)
    pauses.hold("main", "unauthorized", 60_000, probe=True)
    assert pauses.next_ms(60_000) == 64_000
    assert pauses.allows("main", 64_000)
    pauses.started("main")
    pauses.hold("main", "unauthorized", 64_000)
    assert pauses.probed("main", works=True)
    assert pauses.allows("main", 64_000)


def test_a_probe_that_went_out_before_a_block_does_not_end_it() -> None:
    """Somebody else was told of the block after it; another refusal changes nothing of that, the next probe does."""
    pauses = Pauses()
    pauses.hold("main", "unauthorized", 0)
    pauses.started("main")
    pauses.hold("main", "rate_limited", 3000, 300)
    pauses.hold("main", "unauthorized", 3001)
    assert not pauses.probed("main", works=True)
    assert not pauses.allows("main", 302_999)
    assert pauses.allows("main", 303_000)
    pauses.started("main")
    assert pauses.probed("main", works=True)


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


def test_a_pause_is_told_with_the_last_answer_and_how_long_it_has_lasted() -> None:
    """From its beginning, however often it was tried since."""
    pauses = Pauses()
    pauses.hold(WORKFLOW, "workflow_missing", 1000, detail="no such workflow")
    pauses.started(WORKFLOW)
    pauses.hold(WORKFLOW, "workflow_missing", 5000, probe=True, detail="still none")
    assert pauses.held(9000) == {WORKFLOW: Held("workflow_missing", "still none", 8.0)}
