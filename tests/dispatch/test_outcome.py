from __future__ import annotations

import pytest

from bridge.call import IfMissing, Operation, Policy
from bridge.cloudflare.responses import Meaning
from bridge.dispatch.outcome import TABLE, Failure, Moment, Step, settle, step
from bridge.outbox.base import Verdict
from tests.dispatch.entries import entry

NOW_MS = 1_000_000
MOMENT = Moment(NOW_MS, 0, lambda: 0.5)


def failure(meaning: Meaning, retry_after_seconds: float | None = None) -> Failure:
    return Failure(meaning, meaning.value, "what the API said", retry_after_seconds)


def test_every_meaning_has_a_step_for_every_operation() -> None:
    """No answer of the API is left without a decision."""
    assert {meaning: set(steps) for meaning, steps in TABLE.items()} == {m: set(Operation) for m in Meaning}


@pytest.mark.parametrize(
    ("meaning", "operation", "expected"),
    [
        (Meaning.EXISTS, Operation.CREATE, Step.DELIVERED),
        (Meaning.INSTANCE_MISSING, Operation.EVENT, Step.MISSING),
        (Meaning.INSTANCE_MISSING, Operation.STATUS, Step.MISSING),
        (Meaning.CANNOT_TERMINATE, Operation.STATUS, Step.DELIVERED),
        (Meaning.WORKFLOW_MISSING, Operation.CREATE, Step.HOLD_WORKFLOW),
        (Meaning.UNAUTHORIZED, Operation.EVENT, Step.HOLD_TARGET),
        (Meaning.RATE_LIMITED, Operation.CREATE, Step.HOLD_QUOTA),
        (Meaning.UNKNOWN, Operation.CREATE, Step.UNKNOWN),
        (Meaning.REJECTED, Operation.CREATE, Step.DEAD),
        (Meaning.REJECTED, Operation.EVENT, Step.DEAD),
    ],
)
def test_the_table(meaning: Meaning, operation: Operation, expected: Step) -> None:
    """Each answer leads to the step that the outcome table names."""
    assert step(entry(1, operation=operation), failure(meaning)) is expected


def test_an_unknown_create_is_tried_again_with_the_same_id() -> None:
    """A time-out of a create is a retry with full jitter: half of the bound for a random number of one half."""
    verdict = settle(entry(1, arrived_ms=NOW_MS, attempts=2), failure(Meaning.UNKNOWN), MOMENT)
    assert (verdict.verdict, verdict.at_ms) == (Verdict.RETRY, NOW_MS + 1000)


def test_an_unknown_event_is_resent_unless_the_rule_forbids_it() -> None:
    """Repeating an event may satisfy the next wait; a rule can choose the dead letters instead."""
    resend = entry(1, operation=Operation.EVENT, arrived_ms=NOW_MS)
    careful = resend._replace(policy=Policy("r", resend_unknown=False).encode())
    assert settle(resend, failure(Meaning.UNKNOWN), MOMENT).verdict is Verdict.RETRY
    dead = settle(careful, failure(Meaning.UNKNOWN), MOMENT)
    assert (dead.verdict, dead.reason) == (Verdict.DEAD, "unknown_outcome")


@pytest.mark.parametrize(
    ("if_missing", "verdict"),
    [
        (IfMissing.WAIT, Verdict.PARK),
        (IfMissing.DROP, Verdict.DELIVERED),
        (IfMissing.DEAD_LETTER, Verdict.DEAD),
    ],
)
def test_an_absent_instance(if_missing: IfMissing, verdict: Verdict) -> None:
    """The rule says what becomes of an event whose instance does not exist."""
    event = entry(1, operation=Operation.EVENT, arrived_ms=NOW_MS, policy=Policy("r", if_missing=if_missing).encode())
    assert settle(event, failure(Meaning.INSTANCE_MISSING), MOMENT).verdict is verdict


def test_parking_ends() -> None:
    """An event that has waited as long as its rule allows is a dead letter, and is probed once just then."""
    policy = Policy("r", wait_seconds=10).encode()
    waiting = entry(1, operation=Operation.EVENT, arrived_ms=NOW_MS - 9_500, attempts=20, policy=policy)
    parked = settle(waiting, failure(Meaning.INSTANCE_MISSING), MOMENT)
    assert (parked.verdict, parked.at_ms) == (Verdict.PARK, NOW_MS + 501)
    expired = settle(waiting._replace(arrived_ms=NOW_MS - 10_000), failure(Meaning.INSTANCE_MISSING), MOMENT)
    assert (expired.verdict, expired.reason) == (Verdict.DEAD, "instance_missing")


def test_time_in_which_nobody_could_try_does_not_count() -> None:
    """After two days of downtime a call is tried, and retried, before it is given up."""
    old = entry(1, arrived_ms=0)
    moment = Moment(now_ms=172_800_000, going_ms=172_790_000, random=lambda: 0.5)
    assert settle(old, failure(Meaning.UNKNOWN), moment).verdict is Verdict.RETRY


def test_giving_up() -> None:
    """Time and number of attempts are both bounded by the rule."""
    old = entry(1, arrived_ms=NOW_MS - 60_000, policy=Policy("r", give_up_after_seconds=60).encode())
    assert settle(old, failure(Meaning.UNKNOWN), MOMENT).reason == "expired"
    tired = entry(1, arrived_ms=NOW_MS, attempts=2, policy=Policy("r", max_attempts=3).encode())
    assert settle(tired, failure(Meaning.UNKNOWN), MOMENT).reason == "max_attempts"
