"""What is stored of a call whose request has ended with a step that holds nothing up; pure.

What counts towards ``wait`` and ``give_up_after`` is the time that the bridge has tried, ``Entry.waited_ms``: its
requests, and the pauses that it chose to make after them. Time before the first request does not count, nor time beyond
a chosen pause: in the queue, for want of budget, while the workflow or the target was paused, or with the process down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridge.call import Policy
from bridge.cloudflare.responses import Meaning
from bridge.dispatch.outcome import Failure, Step
from bridge.dispatch.retry import CALLS, PROBES
from bridge.outbox.base import Entry, Settlement, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable


LONGEST_REQUEST_MS = 30_000  # what one request counts at most: it may have waited for budget, and clocks are set


class Moment(NamedTuple):
    """When and under which circumstances a decision is made."""

    now_ms: int
    begun_ms: int  # when the request was sent
    random: Callable[[], float]
    # How long a call waits that is parked and would wait so long if it were alone.
    probe_seconds: Callable[[float], float] = lambda own_seconds: own_seconds


def delivered(entry: Entry, reason: str, moment: Moment) -> Settlement:
    """The API has it."""
    # By position and past the class's own constructor: one is made per call, and this is three times as fast.
    return tuple.__new__(Settlement, (entry, Verdict.DELIVERED, reason, "", 0, moment.now_ms, True, 0, "", 0))


# The facts of an answer that shows an instance of the id: whoever is refused because of it is told.
SEEN = Failure(Meaning.EXISTS, Meaning.EXISTS.value, "there is an instance of this id that another call made")


def settle(step: Step, entry: Entry, failure: Failure, moment: Moment) -> Settlement:
    """The verdict on a call that failed by itself."""
    return _VERDICTS[step](entry, Policy.decode(entry.policy), failure, moment)


def _delivered(entry: Entry, _: Policy, failure: Failure, moment: Moment) -> Settlement:
    return delivered(entry, failure.reason, moment)


def _dropped(entry: Entry, _: Policy, _failure: Failure, moment: Moment) -> Settlement:
    return delivered(entry, "dropped", moment)


def _settled(
    entry: Entry, verdict: Verdict, failure: Failure, moment: Moment, at_ms: int = 0, waited_ms: int = 0
) -> Settlement:
    return Settlement(
        entry, verdict, failure.reason, failure.detail, at_ms, moment.now_ms, code=failure.code, waited_ms=waited_ms
    )


def _dead(entry: Entry, _: Policy, failure: Failure, moment: Moment) -> Settlement:
    return _settled(entry, Verdict.DEAD, failure, moment)


def _later(entry: Entry, verdict: Verdict, failure: Failure, moment: Moment, wait_ms: int) -> Settlement:
    """The pause counts as it is planned: what lies between its end and the next request is nobody's patience."""
    return _settled(entry, verdict, failure, moment, moment.now_ms + wait_ms, _request_ms(moment) + wait_ms)


def _resend(entry: Entry, policy: Policy, failure: Failure, moment: Moment) -> Settlement:
    """An event that may have arrived is repeated only where the rule says so; one that was never sent, always."""
    if not policy.resend_unknown and failure.reason != "connect":
        return _dead(entry, policy, failure._replace(reason="unknown_outcome"), moment)
    return _retry(entry, policy, failure, moment)


def _retry(entry: Entry, policy: Policy, failure: Failure, moment: Moment) -> Settlement:
    attempt = entry.attempts + 1
    if policy.max_attempts and attempt >= policy.max_attempts:
        return _dead(entry, policy, failure._replace(reason="max_attempts"), moment)
    if _waited_ms(entry, moment) >= policy.give_up_after_seconds * 1000:
        return _dead(entry, policy, failure._replace(reason="expired"), moment)
    return _later(entry, Verdict.RETRY, failure, moment, CALLS.wait_ms(attempt, moment.random))


def _park(entry: Entry, policy: Policy, failure: Failure, moment: Moment) -> Settlement:
    left_ms = int(policy.wait_seconds * 1000) - _waited_ms(entry, moment)
    if left_ms <= 0:
        return _dead(entry, policy, failure, moment)
    own_seconds = PROBES.bound_seconds(entry.attempts + 1) * (0.5 + moment.random() / 2)
    return _later(entry, Verdict.PARK, failure, moment, min(int(moment.probe_seconds(own_seconds) * 1000), left_ms))


def _waited_ms(entry: Entry, moment: Moment) -> int:
    return entry.waited_ms + _request_ms(moment)


def _request_ms(moment: Moment) -> int:
    return min(max(moment.now_ms - moment.begun_ms, 0), LONGEST_REQUEST_MS)


_VERDICTS = {
    Step.DELIVERED: _delivered,
    Step.DROPPED: _dropped,
    Step.RETRY: _retry,
    Step.RESEND: _resend,
    Step.PARK: _park,
    Step.DEAD: _dead,
}
