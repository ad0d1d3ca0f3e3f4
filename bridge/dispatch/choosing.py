"""Which request is the next one: a choice among the windows' heads; sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridge.call import Operation
from bridge.dispatch.batching import BATCH_BYTES, BATCH_INSTANCES, Kind, Request, restarts
from bridge.dispatch.gate import BUDGET, CREATIONS
from bridge.outbox.base import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridge.dispatch.gate import Gate
    from bridge.dispatch.turns import Turns
    from bridge.dispatch.window import Heads, Window

_KINDS = {Operation.CREATE: Kind.CREATES, Operation.EVENT: Kind.EVENT, Operation.STATUS: Kind.STATUS}


class Candidate(NamedTuple):
    """The calls of one workflow and kind from which the next request could be made."""

    priority: int
    arrived_ms: int  # of the one that has waited longest
    queue: Queue
    scope: Queue
    heads: Heads
    size: int  # entries that the request would take
    creations: int  # instances that it would create or restart


def choose(windows: Mapping[Queue, Window], gate: Gate, turns: Turns) -> Request | None:
    """Take the next request out of the windows: of the priority whose turn it is, the one that has waited longest.

    One that has to wait for the creation rate lets others pass, but only as many as leave the budget a request for it
    when its time has come. So a batch is full when it goes, and goes at once.
    """
    by_target: dict[str, list[Candidate]] = {}
    for candidate in _candidates(windows, gate):
        by_target.setdefault(candidate.scope.target, []).append(candidate)
    for target in sorted(by_target, key=lambda target: min(found.arrived_ms for found in by_target[target])):
        chosen = _choose(target, by_target[target], gate, turns)
        if chosen is not None:
            return chosen
    return None


def _choose(target: str, candidates: Sequence[Candidate], gate: Gate, turns: Turns) -> Request | None:
    waiting = {candidate.priority for candidate in candidates}
    rank = {priority: place for place, priority in enumerate(turns.order(target, waiting))}
    passed: list[float] = []  # how long the better ones have to wait
    for found in sorted(candidates, key=lambda found: (rank[found.priority], found.arrived_ms)):
        seconds = gate.creation_seconds(found.scope, found.creations)
        if seconds > 0:
            gate.refuse(target, CREATIONS, seconds)
            passed.append(seconds)
            continue
        seconds = gate.request_seconds(target)
        if seconds > 0:
            gate.refuse(target, BUDGET, seconds)
            return None
        if any(gate.request_seconds(target, place) > wait for place, wait in enumerate(sorted(passed), 1)):
            return None
        turns.took(target, found.priority, waiting)
        entries = found.heads.pop(found.size, BATCH_BYTES, found.priority)
        return Request(_KINDS[Operation(entries[0].operation)], found.queue, entries)
    return None


def _candidates(windows: Mapping[Queue, Window], gate: Gate) -> Iterator[Candidate]:
    for queue, window in windows.items():
        for workflow, heads in window.creates.items():
            scope = Queue(queue.target, workflow)
            if heads and gate.reachable(scope, Operation.CREATE):
                count = gate.largest(scope, min(len(heads), BATCH_INSTANCES))
                for head in heads.first():
                    yield Candidate(head.priority, head.arrived_ms, queue, scope, heads, count, count)
        for (workflow, operation), heads in window.singles.items():
            scope = Queue(queue.target, workflow)
            if heads and gate.reachable(scope, operation):
                for head in heads.first():
                    yield Candidate(head.priority, head.arrived_ms, queue, scope, heads, 1, restarts(head))
