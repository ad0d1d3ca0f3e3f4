"""What requests show of their workflows: pauses by rows of rejections, and their ends."""

from __future__ import annotations

import pytest

from bridge.call import Operation
from bridge.cloudflare.responses import Meaning
from bridge.dispatch.batching import Kind, Request
from bridge.dispatch.holding import Holding
from bridge.dispatch.outcome import Failure, Step
from bridge.dispatch.rejections import ROW
from bridge.outbox.base import Queue
from tests.dispatch.entries import entry

WORKFLOW = Queue("main", "w")
EVENT = Request(Kind.EVENT, WORKFLOW, [entry(1, operation=Operation.EVENT)])
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
