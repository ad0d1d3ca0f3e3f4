"""Which request is the next one: a choice among the windows' heads; sends nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from bridge.call import Operation
from bridge.dispatch.gate import BUDGET, CREATIONS
from bridge.outbox.base import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridge.dispatch.gate import Gate
    from bridge.dispatch.turns import Turns
    from bridge.dispatch.window import Heads, Window
    from bridge.outbox.base import Entry

# WAPI, "createBatch": at most 100 instances, at most 1 MiB a call. The brackets of the array are two bytes of it.
BATCH_INSTANCES = 100
BATCH_BYTES = (1 << 20) - 2


class Kind(StrEnum):
    """What a request is; each is one HTTP request. The rows of the outcome table."""

    CREATES = "creates"  # one create, or a batch of them
    EVENT = "event"
    STATUS = "status"
    # What may follow, about one entry whose fate the request before did not settle:
    LOOK_UP = "look_up"  # a create: is there such an instance, and did this very call make it?
    ALONE = "alone"  # a create that the look-up found no instance of: the answer to a single one is plain
    RESTART = "restart"  # a create: its instance exists, and the rule says to restart it
    SIGNAL = "signal"  # a create or an event: an event to an instance that exists by now
    RENEW = "renew"  # a create: its id is used, it goes under another one
    LOOK_UP_NEW = "look_up_new"  # the same as LOOK_UP, of that other id
    START = "start"  # events: their instances do not exist, and are created, one or a batch


class Request(NamedTuple):
    """One request that is about to be sent."""

    kind: Kind
    queue: Queue  # where its entries lie
    entries: Sequence[Entry]  # of one workflow; exactly one unless ``kind`` is CREATES or START
    probes: tuple[str | Queue, ...] = ()  # pauses that it tries out
    other_id: str = ""  # the instance that it is about, where that is not its entry's ``instance_id``

    @property
    def target(self) -> str:
        """The account and token that pay for it."""
        return self.queue.target

    @property
    def scope(self) -> Queue:
        """The workflow that it goes to, as a name for pauses."""
        return Queue(self.queue.target, self.entries[0].workflow)

    @property
    def instance_id(self) -> str:
        """The instance that it is about; the first of them."""
        return self.other_id or self.entries[0].instance_id

    @property
    def creations(self) -> int:
        """How much of the API's creation rate it may use up (restarts count: LIM note 8)."""
        return len(self.entries) if self.kind in CREATING else _restarts(self.entries[0])


BATCHES = frozenset({Kind.CREATES, Kind.START})
CREATING = frozenset({Kind.CREATES, Kind.ALONE, Kind.RESTART, Kind.RENEW, Kind.START})


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
            if heads and gate.reachable(scope):
                count = gate.largest(scope, min(len(heads), BATCH_INSTANCES))
                for head in heads.first():
                    yield Candidate(head.priority, head.arrived_ms, queue, scope, heads, count, count)
        for workflow, heads in window.singles.items():
            scope = Queue(queue.target, workflow)
            if heads and gate.reachable(scope):
                for head in heads.first():
                    yield Candidate(head.priority, head.arrived_ms, queue, scope, heads, 1, _restarts(head))


def _restarts(entry: Entry) -> int:
    return int(entry.operation == Operation.STATUS and b'"restart"' in entry.body)


_KINDS = {Operation.CREATE: Kind.CREATES, Operation.EVENT: Kind.EVENT, Operation.STATUS: Kind.STATUS}


def operation(request: Request) -> Operation:
    """The metric label of a request."""
    return Operation(request.entries[0].operation)
