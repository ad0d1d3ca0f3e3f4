"""What dispatch says about verdicts: metrics and the log; decides nothing."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING

import structlog

from bridge.call import Policy
from bridge.dispatch.batching import operation
from bridge.outbox.base import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.dispatch.batching import Request
    from bridge.metrics import Metrics
    from bridge.outbox.base import Settlement

log = structlog.get_logger(__name__)

_FACTS = attrgetter("entry.policy", "entry.operation", "verdict", "reason")
LATER = frozenset({Verdict.RETRY, Verdict.PARK})
# Delivered otherwise than by the call that was asked for; told apart in metrics.
TOLD_APART = frozenset({"exists", "dropped", "restarted", "signalled", "renewed"})


def settled(metrics: Metrics, request: Request, settlements: Sequence[Settlement], now_ms: int) -> None:
    """Count the verdicts on the entries of one request."""
    metrics.delivered(counts(settlements))
    done = [s.entry for s in settlements if s.verdict is Verdict.DELIVERED]
    if done:
        kind = operation(request)
        metrics.end_to_end(kind, [(now_ms - entry.timestamp_ms) / 1000 for entry in done])
        metrics.done(request.target, kind, [entry.attempts + 1.0 for entry in done], now_ms)
    if len(done) < len(settlements):
        _undone(metrics, request, settlements)


def _undone(metrics: Metrics, request: Request, settlements: Sequence[Settlement]) -> None:
    again = Counter((s.entry.operation, s.reason) for s in settlements if s.verdict in LATER)
    metrics.retried(again)
    dead = Counter((Policy.decode(s.entry.policy).rule, s.reason) for s in settlements if s.verdict is Verdict.DEAD)
    if dead:
        metrics.dead_lettered(dead)
        log.warning("calls_dead_lettered", target=request.target, workflow=request.scope.workflow,
                    count=dead.total(), detail=settlements[-1].detail)  # fmt: skip


def counts(settlements: Sequence[Settlement]) -> Mapping[tuple[str, str, str], int]:
    """Number of settlements by rule, operation and outcome: the verdict, or a word of TOLD_APART."""
    found: Counter[tuple[str, str, str]] = Counter()
    for (policy, operation_, verdict, reason), number in Counter(map(_FACTS, settlements)).items():
        result = reason if reason in TOLD_APART and verdict is Verdict.DELIVERED else verdict.value
        found[Policy.decode(policy).rule, operation_, result] += number
    return found
