"""What happens next to a call, by the answer that it got: the outcome table, and nothing that acts on it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from bridge.call import IfMissing, Operation, Policy
from bridge.cloudflare.responses import Meaning
from bridge.dispatch.retry import CALLS, PROBES
from bridge.outbox.base import Entry, Settlement, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Step(StrEnum):
    """What to do with a call whose request has ended."""

    DELIVERED = "delivered"
    RETRY = "retry"
    MISSING = "missing"  # as the rule's ``if_missing`` says
    UNKNOWN = "unknown"  # it may have been done: as the operation allows
    DEAD = "dead"
    HOLD_WORKFLOW = "hold_workflow"  # not the call's fault: it stays first, its workflow pauses
    HOLD_TARGET = "hold_target"  # the same for everything on the token
    HOLD_QUOTA = "hold_quota"  # the same, for as long as the API says


_CREATE, _EVENT, _STATUS = Operation.CREATE, Operation.EVENT, Operation.STATUS
TABLE: Mapping[Meaning, Mapping[Operation, Step]] = {
    Meaning.EXISTS: {_CREATE: Step.DELIVERED, _EVENT: Step.DEAD, _STATUS: Step.DEAD},
    Meaning.INSTANCE_MISSING: {_CREATE: Step.DEAD, _EVENT: Step.MISSING, _STATUS: Step.MISSING},
    Meaning.CANNOT_TERMINATE: {_CREATE: Step.DEAD, _EVENT: Step.DEAD, _STATUS: Step.DELIVERED},
    Meaning.WORKFLOW_MISSING: dict.fromkeys(Operation, Step.HOLD_WORKFLOW),
    Meaning.UNAUTHORIZED: dict.fromkeys(Operation, Step.HOLD_TARGET),
    Meaning.RATE_LIMITED: dict.fromkeys(Operation, Step.HOLD_QUOTA),
    Meaning.UNKNOWN: dict.fromkeys(Operation, Step.UNKNOWN),
    Meaning.REJECTED: dict.fromkeys(Operation, Step.DEAD),
}


class Failure(NamedTuple):
    """What is known of a request that did not succeed."""

    meaning: Meaning
    reason: str  # a bounded label for metrics: the meaning, or "timeout", "connect" …
    detail: str  # for people
    retry_after_seconds: float | None = None


class Moment(NamedTuple):
    """When and under which circumstances a decision is made."""

    now_ms: int
    going_ms: int  # since when calls there can be made: waiting while nobody could try is not held against a call
    random: Callable[[], float]


def answered(failure: Failure) -> bool:
    """Whether the API itself has looked at the call, and the call alone is refused: nothing is wrong beyond it."""
    return failure.meaning not in {
        Meaning.UNKNOWN,
        Meaning.WORKFLOW_MISSING,
        Meaning.UNAUTHORIZED,
        Meaning.RATE_LIMITED,
    }


def step(entry: Entry, failure: Failure) -> Step:
    """Look the failure up for this call's operation."""
    return TABLE[failure.meaning][Operation(entry.operation)]


def delivered(entry: Entry, reason: str, moment: Moment) -> Settlement:
    """The API has it."""
    # By position and past the class's own constructor: one is made per call, and this is three times as fast.
    return tuple.__new__(Settlement, (entry, Verdict.DELIVERED, reason, "", 0, moment.now_ms, True))


def settle(entry: Entry, failure: Failure, moment: Moment) -> Settlement:
    """The verdict on a call that failed by itself, that is with a step that holds nothing up."""
    policy = Policy.decode(entry.policy)
    decide = {Step.DELIVERED: _done, Step.MISSING: _missing, Step.UNKNOWN: _unknown, Step.RETRY: _retry}
    return decide.get(step(entry, failure), _dead)(entry, policy, failure, moment)


def _done(entry: Entry, _: Policy, failure: Failure, moment: Moment) -> Settlement:
    return delivered(entry, failure.reason, moment)


def _dead(entry: Entry, _: Policy, failure: Failure, moment: Moment) -> Settlement:
    return Settlement(entry, Verdict.DEAD, failure.reason, failure.detail, settled_ms=moment.now_ms)


def _unknown(entry: Entry, policy: Policy, failure: Failure, moment: Moment) -> Settlement:
    """A create or a status change is safe to repeat; an event only where the rule says so."""
    if entry.operation == Operation.EVENT and not policy.resend_unknown:
        return _dead(entry, policy, failure._replace(reason="unknown_outcome"), moment)
    return _retry(entry, policy, failure, moment)


def _retry(entry: Entry, policy: Policy, failure: Failure, moment: Moment) -> Settlement:
    attempt = entry.attempts + 1
    if policy.max_attempts and attempt >= policy.max_attempts:
        return _dead(entry, policy, failure._replace(reason="max_attempts"), moment)
    if _waited_seconds(entry, moment) >= policy.give_up_after_seconds:
        return _dead(entry, policy, failure._replace(reason="expired"), moment)
    at_ms = moment.now_ms + CALLS.wait_ms(attempt, moment.random)
    return Settlement(entry, Verdict.RETRY, failure.reason, failure.detail, at_ms, moment.now_ms)


def _missing(entry: Entry, policy: Policy, failure: Failure, moment: Moment) -> Settlement:
    if policy.if_missing == IfMissing.DROP:
        return delivered(entry, "dropped", moment)
    left_seconds = policy.wait_seconds - _waited_seconds(entry, moment)
    if policy.if_missing != IfMissing.WAIT or left_seconds <= 0:
        return _dead(entry, policy, failure, moment)
    probe_ms = int(PROBES.bound_seconds(entry.attempts + 1) * (0.5 + moment.random() / 2) * 1000)
    at_ms = moment.now_ms + min(probe_ms, int(left_seconds * 1000) + 1)
    return Settlement(entry, Verdict.PARK, failure.reason, failure.detail, at_ms, moment.now_ms)


def _waited_seconds(entry: Entry, moment: Moment) -> float:
    due_ms = max(entry.arrived_ms, entry.not_before_ms, moment.going_ms)
    return (moment.now_ms - due_ms) / 1000
