"""What requests show of their workflows: pauses by rows of rejections, and their ends."""

from __future__ import annotations

import pytest

from bridge.call import Operation
from bridge.cloudflare.responses import Meaning
from bridge.dispatch.batching import Kind, Request
from bridge.dispatch.halting import Halts
from bridge.dispatch.holding import Holding
from bridge.dispatch.outcome import Failure, Step
from bridge.dispatch.rejections import ROW
from bridge.outbox.base import Queue
from tests.dispatch.entries import entry

WORKFLOW = Queue("main", "w")
EVENT = Request(Kind.EVENT, WORKFLOW, [entry(1, operation=Operation.EVENT)])
CREATE = Request(Kind.CREATES, WORKFLOW, [entry(2)])
REFUSED = Failure(Meaning.UNAUTHORIZED, "unauthorized", "")
TOO_MANY = Failure(Meaning.RATE_LIMITED, "rate_limited", "")
REJECTED = Failure(Meaning.REJECTED, "rejected", "", None, 10999)


def told(holding: Holding, failure: Failure, now_ms: int) -> bool:
    """One request goes out and is answered so; whether its call is kept."""
    request = holding.probed_by(EVENT)
    kept = failure.meaning is Meaning.REJECTED and holding.refused(request, failure, now_ms)
    holding.heard(request, [(EVENT.entries[0], failure)])
    holding.ended(request)
    return kept


@pytest.mark.parametrize("meaning", [Meaning.EXISTS, Meaning.INSTANCE_MISSING, Meaning.CANNOT_TERMINATE])
def test_another_answer_about_the_call_ends_the_row(meaning: Meaning) -> None:
    """A used id or an absent instance is no rejection: a probe that meets it ends the pause."""
    holding = Holding()
    kept = [told(holding, REJECTED, 0) for _ in range(ROW)]
    assert kept == [False] * (ROW - 1) + [True]
    assert not holding.allows(WORKFLOW, 0)
    told(holding, Failure(meaning, meaning.value, ""), 10_000)
    assert not holding.reasons()
    assert not told(holding, REJECTED, 10_000), "a new row begins"


def test_rejections_with_other_answers_between_are_no_row() -> None:
    """Events to ended instances, among others that find none: only those die, the workflow goes on."""
    holding = Holding()
    for _ in range(ROW):
        assert not told(holding, REJECTED, 0)
        told(holding, Failure(Meaning.INSTANCE_MISSING, "instance_missing", ""), 0)
    assert holding.allows(WORKFLOW, 0)


@pytest.mark.parametrize(("said", "seconds"), [(None, 300), (0.0, 1), (17.0, 17), (10_000_000.0, 3600)])
def test_a_quota_block_lasts_as_long_as_the_api_says(said: float | None, seconds: int) -> None:
    """Five minutes where it says nothing, a second where it says none, and an hour at most: as the budget takes it."""
    holding = Holding()
    holding.pause(EVENT, Step.HOLD_QUOTA, TOO_MANY._replace(retry_after_seconds=said), 0)
    assert holding.next_ms(0) == seconds * 1000


@pytest.mark.parametrize("meaning", [Meaning.WORKFLOW_MISSING, Meaning.REJECTED])
def test_a_refusal_of_the_call_shows_that_the_token_is_taken_again(meaning: Meaning) -> None:
    """A workflow that is missing, or a call that is wrong, holds nobody else on the target back any longer."""
    holding = Holding()
    holding.pause(EVENT, Step.HOLD_TARGET, Failure(Meaning.UNAUTHORIZED, "unauthorized", ""), 0)
    assert not holding.allows(Queue("main", "another"), 0)
    told(holding, Failure(meaning, meaning.value, ""), 10_000)
    assert holding.allows(Queue("main", "another"), 10_000)


@pytest.mark.parametrize("meaning", [Meaning.UNKNOWN, Meaning.UNAUTHORIZED, Meaning.RATE_LIMITED])
def test_a_pause_of_the_target_outlives_a_probe_that_shows_nothing(meaning: Meaning) -> None:
    """It goes on until an answer is the API's own."""
    holding = Holding()
    holding.pause(EVENT, Step.HOLD_TARGET, Failure(Meaning.UNAUTHORIZED, "unauthorized", ""), 0)
    told(holding, Failure(meaning, meaning.value, ""), 10_000)
    assert "main" in holding.reasons()


def refused(holding: Holding, request: Request, now_ms: int) -> None:
    """The token is refused for this request."""
    holding.pause(request, Step.HOLD_TARGET, REFUSED, now_ms)
    holding.heard(request, [(request.entries[0], REFUSED)])
    holding.ended(request)


def may_send_no_events() -> Holding:
    """A token that a create has shown to lack the permission for events."""
    holding = Holding()
    refused(holding, EVENT, 0)
    create = holding.probed_by(CREATE)
    holding.heard(create, [(CREATE.entries[0], Failure(Meaning.EXISTS, "exists", ""))])
    holding.ended(create)
    refused(holding, holding.probed_by(EVENT), 3000)
    assert holding.reasons() == {EVENT.endpoint: "unauthorized"}
    return holding


def test_a_missing_permission_never_holds_back_others_however_seldom_they_come() -> None:
    """Events ask again and again, a minute apart in the end, and no create comes between: one may go at any time."""
    holding, now_ms = may_send_no_events(), 3000
    for _ in range(20):
        now_ms = holding.next_ms(now_ms) or 0
        assert holding.allows(WORKFLOW, now_ms, "event")
        refused(holding, holding.probed_by(EVENT), now_ms)
        assert holding.reasons() == {EVENT.endpoint: "unauthorized"}
        assert holding.allows(WORKFLOW, now_ms, "create")


def test_events_that_were_under_way_together_show_no_more_than_the_first() -> None:
    """Eight are refused one after the other, none of them a probe."""
    holding = may_send_no_events()
    for _ in range(8):
        refused(holding, EVENT, 3001)
    assert holding.reasons() == {EVENT.endpoint: "unauthorized"}


def test_a_token_that_is_revoked_while_events_pause_is_found_by_the_next_create() -> None:
    """And all of it is tried out again, until it works."""
    holding = may_send_no_events()
    refused(holding, holding.probed_by(CREATE), 4000)
    assert holding.reasons() == {EVENT.endpoint: "unauthorized", "main": "unauthorized"}
    assert not holding.allows(Queue("main", "another"), 4000, "get")
    refused(holding, holding.probed_by(EVENT), 7000)
    assert holding.allows(WORKFLOW, 7000, "create")
    create = holding.probed_by(CREATE)
    holding.heard(create, [(CREATE.entries[0], Failure(Meaning.EXISTS, "exists", ""))])
    holding.ended(create)
    assert holding.reasons() == {EVENT.endpoint: "unauthorized"}


def test_a_request_from_before_the_pause_lets_no_second_probe_go() -> None:
    """It is refused while the probe hangs, and the time is over again before that ends."""
    holding = Holding()
    refused(holding, EVENT, 0)
    probe = holding.probed_by(CREATE)
    refused(holding, EVENT, 3000)
    assert not holding.allows(WORKFLOW, 60_000, "create")
    holding.ended(probe)
    assert holding.allows(WORKFLOW, 60_000, "create")
    holding.pause(holding.probed_by(CREATE), Step.HOLD_TARGET, REFUSED, 60_000)
    assert not holding.allows(WORKFLOW, 60_000, "create")
    assert holding.allows(WORKFLOW, 65_000, "create")


def test_only_what_is_refused_alone_gives_way_to_others() -> None:
    """An operation, also while it is tried; or the one that was refused last, until others show how they fare."""
    holding = Holding()
    event, create = ("w", "event"), ("w", "create")
    refused(holding, EVENT, 0)
    assert [holding.stops(WORKFLOW, kind) for kind in (event, create)] == [True, False]
    refused(holding, holding.probed_by(CREATE), 3000)
    assert [holding.stops(WORKFLOW, kind) for kind in (event, create)] == [False, True]
    holding = may_send_no_events()
    holding.probed_by(EVENT)
    assert [holding.stops(WORKFLOW, kind) for kind in (event, create)] == [True, False]
    assert not holding.stops(Queue("other", "w"), event)


def test_a_paused_workflow_gives_way_in_a_queue_that_it_shares() -> None:
    """To the others of the custom lanes; in its own queue there is nobody, nor is there while the target is blocked."""
    lanes, kind = Queue("main", ""), ("w", "create")
    missing = Holding()
    missing.pause(CREATE, Step.HOLD_WORKFLOW, Failure(Meaning.WORKFLOW_MISSING, "workflow_missing", ""), 0)
    halted = Holding()
    halted.halts = Halts(workflows=frozenset({WORKFLOW}))
    for holding in (missing, halted):
        assert (holding.stops(lanes, kind), holding.stops(WORKFLOW, kind)) == (True, False)
        assert not holding.stops(lanes, ("another", "create"))
    blocked = Holding()
    blocked.pause(CREATE, Step.HOLD_QUOTA, TOO_MANY, 0)
    assert not blocked.stops(WORKFLOW, kind)
