"""What happens next to a call, by the answer that it got: the outcome table, and nothing that acts on it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from bridge.call import IfExists, IfMissing, Policy
from bridge.cloudflare.responses import Meaning
from bridge.dispatch.batching import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping


class Sight(StrEnum):
    """What an answer shows beside an error's ``Meaning``."""

    DONE = "done"  # carried out
    LEFT_OUT = "left_out"  # a batch answer does not name this id: most likely it exists, but nobody said so
    OWN = "own"  # the instance exists, and an earlier attempt of this very call made it
    FOREIGN = "foreign"  # the instance exists, and something else made it


class Step(StrEnum):
    """What to do with a call whose request has ended."""

    DELIVERED = "delivered"
    DROPPED = "dropped"  # delivered, in that the rule wants no more
    RETRY = "retry"  # from its first request on: every one before it is found done, or is safe to repeat
    PARK = "park"
    RESEND = "resend"  # an event that may have arrived: RETRY, or DEAD by ``on_unknown``
    DEAD = "dead"
    ONCE_MORE = "once_more"  # in the next batch; the second time LOOK_UP
    HALVE = "halve"  # a batch: one bad element fails all of it, so it goes on in two; of one alone: DEAD
    HOLD_WORKFLOW = "hold_workflow"  # not the call's fault: it stays first, its workflow pauses
    HOLD_TARGET = "hold_target"  # the same for everything on the token
    HOLD_QUOTA = "hold_quota"  # the same, for as long as the API says
    # One more request about this call:
    LOOK_UP = "look_up"
    ALONE = "alone"
    RESTART = "restart"
    SIGNAL = "signal"
    RENEW = "renew"
    LOOK_UP_NEW = "look_up_new"
    START = "start"


FOLLOWING = {
    Step.LOOK_UP: Kind.LOOK_UP,
    Step.ALONE: Kind.ALONE,
    Step.RESTART: Kind.RESTART,
    Step.SIGNAL: Kind.SIGNAL,
    Step.RENEW: Kind.RENEW,
    Step.LOOK_UP_NEW: Kind.LOOK_UP_NEW,
    Step.START: Kind.START,
}
HOLDS = frozenset({Step.HOLD_WORKFLOW, Step.HOLD_TARGET, Step.HOLD_QUOTA})

Known = Meaning | Sight
Cell = Step | dict[IfExists, Step] | dict[IfMissing, Step]  # a step, or what the rule makes of it


def _by_if_exists(skip: Step, other: Step) -> dict[IfExists, Step]:
    return {word: skip if word is IfExists.SKIP else other for word in IfExists}


_USED = _by_if_exists(Step.DELIVERED, Step.LOOK_UP)
_USED_STILL = _by_if_exists(Step.DELIVERED, Step.RETRY)  # and not found just before: what is read lags behind
_LEFT_OUT = _by_if_exists(Step.ONCE_MORE, Step.LOOK_UP)
_FOREIGN = {
    IfExists.SKIP: Step.DELIVERED,
    IfExists.FAIL: Step.DEAD,
    IfExists.RESTART: Step.RESTART,
    IfExists.EVENT: Step.SIGNAL,
    IfExists.NEW: Step.RENEW,
}
_MISSING = {
    IfMissing.WAIT: Step.PARK,
    IfMissing.CREATE: Step.START,
    IfMissing.DROP: Step.DROPPED,
    IfMissing.DEAD_LETTER: Step.DEAD,
}


def _row(answers: Mapping[Known, Cell], *, unknown: Step = Step.RETRY, rejected: Step = Step.DEAD) -> dict[Known, Cell]:
    """A row with what is the same in all of them. An answer that makes no sense to a request is final for it."""
    return {
        **dict.fromkeys(Meaning, Step.DEAD),
        Meaning.WORKFLOW_MISSING: Step.HOLD_WORKFLOW,
        Meaning.UNAUTHORIZED: Step.HOLD_TARGET,
        Meaning.RATE_LIMITED: Step.HOLD_QUOTA,
        Meaning.UNKNOWN: unknown,
        Meaning.REJECTED: rejected,
        **answers,
    }


_DONE: dict[Known, Cell] = {Sight.DONE: Step.DELIVERED}
_GONE: dict[Known, Cell] = {Meaning.INSTANCE_MISSING: Step.RETRY}  # it was there a moment ago

TABLE: Mapping[Kind, Mapping[Known, Cell]] = {
    Kind.CREATES: _row(_DONE | {Meaning.EXISTS: _USED, Sight.LEFT_OUT: _LEFT_OUT}, rejected=Step.HALVE),
    Kind.EVENT: _row(_DONE | {Meaning.INSTANCE_MISSING: _MISSING}, unknown=Step.RESEND),
    Kind.STATUS: _row(_DONE | {Meaning.INSTANCE_MISSING: _MISSING, Meaning.CANNOT_TERMINATE: Step.DELIVERED}),
    Kind.LOOK_UP: _row({Sight.OWN: Step.DELIVERED, Sight.FOREIGN: _FOREIGN, Meaning.INSTANCE_MISSING: Step.ALONE}),
    Kind.ALONE: _row(_DONE | {Meaning.EXISTS: _USED_STILL}),
    Kind.RESTART: _row(_DONE | _GONE),
    Kind.SIGNAL: _row(_DONE | _GONE, unknown=Step.RESEND),
    Kind.RENEW: _row(_DONE | {Meaning.EXISTS: Step.LOOK_UP_NEW}),
    Kind.LOOK_UP_NEW: _row(_GONE | {Sight.OWN: Step.DELIVERED, Sight.FOREIGN: Step.DEAD}),
    Kind.START: _row(
        {Sight.DONE: Step.SIGNAL, Sight.LEFT_OUT: Step.SIGNAL, Meaning.EXISTS: Step.SIGNAL}, rejected=Step.HALVE
    ),
}


class Failure(NamedTuple):
    """What is known of a request that did not succeed."""

    meaning: Meaning
    reason: str  # a bounded label for metrics: the meaning, or "timeout", "connect" …
    detail: str  # for people
    retry_after_seconds: float | None = None
    code: int = 0  # the API's; 0 where it gave none


def takes_token(failure: Failure) -> bool:
    """Whether the API itself has looked at the call, and so takes the target's token; it may refuse the call."""
    return failure.meaning not in {Meaning.UNKNOWN, Meaning.UNAUTHORIZED, Meaning.RATE_LIMITED}


def answered(failure: Failure) -> bool:
    """Whether the API itself has looked at the call, and the call alone is refused: nothing is wrong beyond it."""
    return takes_token(failure) and failure.meaning is not Meaning.WORKFLOW_MISSING


def step(kind: Kind, known: Known, policy: Policy) -> Step:
    """Look an answer up, for a call whose rule has this policy."""
    cell = TABLE[kind][known]
    if isinstance(cell, Step):
        return cell
    return next(found for word, found in cell.items() if word in (policy.if_exists, policy.if_missing))
