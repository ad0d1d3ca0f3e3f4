from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.call import IfExists, IfMissing, Operation, Policy
from bridge.cloudflare.responses import Meaning
from bridge.dispatch.batching import Kind
from bridge.dispatch.outcome import TABLE, Failure, Sight, Step, step
from bridge.dispatch.verdicts import Moment, settle
from bridge.outbox.base import Verdict
from tests.dispatch.entries import entry

NOW_MS = 1_000_000
MOMENT = Moment(NOW_MS, NOW_MS - 100, lambda: 0.5)


def failure(meaning: Meaning, retry_after_seconds: float | None = None) -> Failure:
    return Failure(meaning, meaning.value, "what the API said", retry_after_seconds)


def test_every_answer_has_a_step_for_every_request() -> None:
    """No answer of the API is left without a decision, and none of a rule's words without a step."""
    assert set(TABLE) == set(Kind)
    for row in TABLE.values():
        assert set(Meaning) <= set(row)
        for cell in row.values():
            assert isinstance(cell, Step) or set(cell) in ({*IfExists}, {*IfMissing})


@pytest.mark.parametrize("kind", Kind)
def test_what_is_not_the_calls_fault_holds_and_buries_nothing(kind: Kind) -> None:
    """A missing workflow, a refused token and a used up quota stop every request alike."""
    steps = [step(kind, m, Policy("r")) for m in (Meaning.WORKFLOW_MISSING, Meaning.UNAUTHORIZED, Meaning.RATE_LIMITED)]
    assert steps == [Step.HOLD_WORKFLOW, Step.HOLD_TARGET, Step.HOLD_QUOTA]


@pytest.mark.parametrize(
    ("if_exists", "used", "foreign"),
    [
        (IfExists.SKIP, Step.DELIVERED, Step.DELIVERED),
        (IfExists.FAIL, Step.LOOK_UP, Step.DEAD),
        (IfExists.RESTART, Step.LOOK_UP, Step.RESTART),
        (IfExists.EVENT, Step.LOOK_UP, Step.SIGNAL),
        (IfExists.NEW, Step.LOOK_UP, Step.RENEW),
    ],
)
def test_a_used_id(if_exists: IfExists, used: Step, foreign: Step) -> None:
    """Only ``skip`` needs no look at whose the instance is; an instance of its own is always enough."""
    policy = Policy("r", if_exists=if_exists)
    assert step(Kind.CREATES, Meaning.EXISTS, policy) is used
    assert step(Kind.LOOK_UP, Sight.FOREIGN, policy) is foreign
    assert step(Kind.LOOK_UP, Sight.OWN, policy) is Step.DELIVERED


@pytest.mark.parametrize(
    ("kind", "known", "expected"),
    [
        (Kind.EVENT, Meaning.INSTANCE_MISSING, Step.PARK),
        (Kind.STATUS, Meaning.INSTANCE_MISSING, Step.PARK),
        (Kind.STATUS, Meaning.CANNOT_TERMINATE, Step.DELIVERED),
        (Kind.CREATES, Meaning.UNKNOWN, Step.RETRY),
        (Kind.EVENT, Meaning.UNKNOWN, Step.RESEND),
        (Kind.CREATES, Meaning.REJECTED, Step.HALVE),
        (Kind.CREATES, Sight.LEFT_OUT, Step.ONCE_MORE),
        (Kind.EVENT, Meaning.REJECTED, Step.DEAD),
        (Kind.LOOK_UP, Meaning.INSTANCE_MISSING, Step.ALONE),
        (Kind.START, Meaning.EXISTS, Step.SIGNAL),
        (Kind.START, Sight.LEFT_OUT, Step.SIGNAL),
        (Kind.SIGNAL, Meaning.INSTANCE_MISSING, Step.RETRY),
    ],
)
def test_the_table(kind: Kind, known: Meaning | Sight, expected: Step) -> None:
    """Each answer leads to the step that the outcome table names."""
    assert step(kind, known, Policy("r")) is expected


def test_a_missing_instance_may_be_started() -> None:
    """The rule's word decides what an absent instance means."""
    policies = [Policy("r", if_missing=word) for word in (IfMissing.CREATE, IfMissing.DROP, IfMissing.DEAD_LETTER)]
    steps = [step(Kind.EVENT, Meaning.INSTANCE_MISSING, policy) for policy in policies]
    assert steps == [Step.START, Step.DROPPED, Step.DEAD]


def test_an_unknown_create_is_tried_again_with_the_same_id() -> None:
    """A time-out of a create is a retry with full jitter: half of the bound for a random number of one half."""
    verdict = settle(Step.RETRY, entry(1, arrived_ms=NOW_MS, attempts=2), failure(Meaning.UNKNOWN), MOMENT)
    assert (verdict.verdict, verdict.at_ms) == (Verdict.RETRY, NOW_MS + 1000)


def test_an_unknown_event_is_resent_unless_the_rule_forbids_it() -> None:
    """Repeating an event may satisfy the next wait; a rule can choose the dead letters instead."""
    resend = entry(1, operation=Operation.EVENT, arrived_ms=NOW_MS)
    careful = resend._replace(policy=Policy("r", resend_unknown=False).encode())
    assert settle(Step.RESEND, resend, failure(Meaning.UNKNOWN), MOMENT).verdict is Verdict.RETRY
    dead = settle(Step.RESEND, careful, failure(Meaning.UNKNOWN), MOMENT)
    assert (dead.verdict, dead.reason) == (Verdict.DEAD, "unknown_outcome")


def test_an_event_that_was_never_sent_is_no_unknown_outcome() -> None:
    """Without a connection nothing has arrived: the event goes again, whatever the rule says of unknown outcomes."""
    careful = entry(1, operation=Operation.EVENT, arrived_ms=NOW_MS)._replace(
        policy=Policy("r", resend_unknown=False).encode()
    )
    refused = Failure(Meaning.UNKNOWN, "connect", "could not connect to the API")
    assert settle(Step.RESEND, careful, refused, MOMENT).verdict is Verdict.RETRY


def test_parking_ends() -> None:
    """An event that was tried for as long as its rule allows is a dead letter, and is probed once just then."""
    policy = Policy("r", wait_seconds=10).encode()
    waiting = entry(1, operation=Operation.EVENT, arrived_ms=0, attempts=20, waited_ms=9_400, policy=policy)
    parked = settle(Step.PARK, waiting, failure(Meaning.INSTANCE_MISSING), MOMENT)
    assert (parked.verdict, parked.at_ms, parked.waited_ms) == (Verdict.PARK, NOW_MS + 500, 100 + 500)
    expired = settle(Step.PARK, waiting._replace(waited_ms=10_000), failure(Meaning.INSTANCE_MISSING), MOMENT)
    assert (expired.verdict, expired.reason) == (Verdict.DEAD, "instance_missing")


@pytest.mark.parametrize("asked", [Step.PARK, Step.RETRY])
def test_time_before_the_first_request_does_not_count(asked: Step) -> None:
    """Two days down, or behind a backlog: whatever the call's age, it is tried for as long as its rule says."""
    policy = Policy("r", wait_seconds=60, give_up_after_seconds=60).encode()
    old = entry(1, operation=Operation.EVENT, arrived_ms=NOW_MS - 172_800_000, policy=policy)
    assert settle(asked, old, failure(Meaning.UNKNOWN), MOMENT).verdict in {Verdict.PARK, Verdict.RETRY}


@given(
    held_back=st.lists(st.integers(0, 172_800_000), min_size=200, max_size=200),
    request_ms=st.integers(0, 30_000),
    patience_seconds=st.integers(1, 900),
)
def test_only_requests_and_chosen_pauses_count(held_back: list[int], request_ms: int, patience_seconds: int) -> None:
    """However long a call is held back before each probe, it is dead after the same number of them, and of seconds."""
    policy = Policy("r", wait_seconds=patience_seconds).encode()
    call = entry(1, operation=Operation.EVENT, arrived_ms=0, policy=policy)
    now_ms = probes = counted = 0
    for held_ms in held_back:
        now_ms += held_ms + request_ms
        parked = settle(
            Step.PARK, call, failure(Meaning.INSTANCE_MISSING), Moment(now_ms, now_ms - request_ms, lambda: 0.5)
        )
        probes += 1
        counted += request_ms
        if parked.verdict is Verdict.DEAD:
            break
        counted += parked.at_ms - now_ms
        now_ms = parked.at_ms
        call = call._replace(attempts=call.attempts + 1, waited_ms=call.waited_ms + parked.waited_ms)
    assert parked.verdict is Verdict.DEAD
    assert patience_seconds * 1000 <= counted <= patience_seconds * 1000 + 2 * request_ms
    assert probes <= 10 + patience_seconds / 45


def test_a_clock_that_was_set_counts_as_one_request_at_most() -> None:
    """Forward by a day, or back: a call gets neither a day older nor younger."""
    call = entry(1, operation=Operation.EVENT)
    counted = [
        settle(Step.PARK, call, failure(Meaning.INSTANCE_MISSING), MOMENT._replace(begun_ms=NOW_MS + ms)).waited_ms
        - 750
        for ms in (-86_400_000, 86_400_000)
    ]
    assert counted == [30_000, 0]


def test_giving_up() -> None:
    """Time and number of attempts are both bounded by the rule."""
    old = entry(1, waited_ms=59_900, policy=Policy("r", give_up_after_seconds=60).encode())
    assert settle(Step.RETRY, old, failure(Meaning.UNKNOWN), MOMENT).reason == "expired"
    tired = entry(1, arrived_ms=NOW_MS, attempts=2, policy=Policy("r", max_attempts=3).encode())
    assert settle(Step.RETRY, tired, failure(Meaning.UNKNOWN), MOMENT).reason == "max_attempts"
