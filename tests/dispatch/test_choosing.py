"""The choice of the next request."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from bridge.call import HIGH, LOW, NORMAL, Operation
from bridge.dispatch.choosing import choose
from bridge.dispatch.turns import COST, Turns
from bridge.dispatch.window import Window
from bridge.outbox.base import Queue
from tests.dispatch.entries import entry

if TYPE_CHECKING:
    from bridge.dispatch.batching import Request
    from bridge.outbox.base import Entry

MAIN = Queue("main", "")


class Open:
    """A gate that is open, but for what a test closes. Times in seconds from now."""

    def __init__(self) -> None:
        self.paused: set[str] = set()  # workflows
        self.requests: list[float] = []  # when the first, second … request may go; at once where nothing is said
        self.creations: defaultdict[str, float] = defaultdict(float)  # when instances may be created, by workflow
        self.most = 100  # instances at once
        self.refused: set[tuple[str, float]] = set()

    def reachable(self, workflow: Queue, operation: str) -> bool:
        del operation
        return workflow.workflow not in self.paused

    def request_seconds(self, target: str, more: int = 0) -> float:
        assert target == "main"
        return self.requests[more] if more < len(self.requests) else (math.inf if self.requests else 0.0)

    def creation_seconds(self, workflow: Queue, count: int) -> float:
        return self.creations[workflow.workflow] if count else 0.0

    def largest(self, _: Queue, count: int) -> int:
        return min(count, self.most)

    def refuse(self, _: str, why: str, seconds: float) -> None:
        self.refused.add((why, seconds))


def chosen(*entries: Entry, gate: Open | None = None, turns: Turns | None = None) -> Request | None:
    window = Window()
    window.load(entries)
    return choose({MAIN: window}, gate or Open(), turns or Turns())  # type: ignore[arg-type]


def seqs(request: Request | None) -> list[int]:
    return [] if request is None else [taken.seq for taken in request.entries]


def test_the_longest_waiting_goes_first() -> None:
    """Whatever it is, and whichever workflow it is of."""
    entries = [entry(2, "a", workflow="x"), entry(1, "b", Operation.EVENT, workflow="y"), entry(3, "c", workflow="z")]
    assert seqs(chosen(*entries)) == [1]


def test_a_create_takes_its_workflow_along() -> None:
    """Everything that waits for the same workflow travels in one request, up to a hundred."""
    assert seqs(chosen(*(entry(n, f"i{n}") for n in range(1, 151)))) == list(range(1, 101))


def test_a_pause_touches_nothing_else() -> None:
    """The oldest is of a workflow that is paused: the next one goes."""
    gate = Open()
    gate.paused = {"x"}
    assert seqs(chosen(entry(1, "a", workflow="x"), entry(2, "b", workflow="y"), gate=gate)) == [2]


def test_without_budget_nothing_goes() -> None:
    """And it is known when to ask again."""
    gate = Open()
    gate.requests = [0.25]
    assert chosen(entry(1), gate=gate) is None
    assert gate.refused == {("budget", 0.25)}


def test_the_creation_rate_holds_creates_alone() -> None:
    """Events go meanwhile, as long as that leaves a request for the create when its time has come."""
    create, event = entry(1, "a", workflow="x"), entry(2, "b", Operation.EVENT, workflow="x")
    gate = Open()
    gate.creations["x"] = 0.5
    gate.requests = [0.0, 0.4]
    assert seqs(chosen(create, event, gate=gate)) == [2]
    gate.requests = [0.0, 0.6]
    assert chosen(create, event, gate=gate) is None
    assert ("creations", 0.5) in gate.refused


def test_what_is_older_than_a_held_create_is_not_held() -> None:
    """The create has no claim on the request that an older event could have."""
    create, event = entry(2, "a", workflow="x"), entry(1, "b", Operation.EVENT, workflow="x")
    gate = Open()
    gate.creations["x"] = 0.5
    gate.requests = [0.0, 9.0]
    assert seqs(chosen(create, event, gate=gate)) == [1]


def test_priorities_have_their_share() -> None:
    """While all three wait: nine, three and one of thirteen requests."""
    turns, window, counts = Turns(), Window(), dict.fromkeys(COST, 0)
    window.load(entry(n, f"i{n}", Operation.EVENT, priority=n % 3) for n in range(1, 901))
    for _ in range(130):
        request = choose({MAIN: window}, Open(), turns)  # type: ignore[arg-type]
        assert request is not None
        counts[request.entries[0].priority] += 1
    assert counts == {HIGH: 90, NORMAL: 30, LOW: 10}


@given(
    backlog=st.lists(st.tuples(st.sampled_from([HIGH, NORMAL, LOW]), st.sampled_from("xyz")), max_size=60),
    arriving=st.lists(st.tuples(st.sampled_from([HIGH, NORMAL, LOW]), st.sampled_from("xyz")), min_size=1, max_size=9),
    watched=st.sampled_from([HIGH, NORMAL, LOW]),
)
def test_nothing_starves(backlog: list[tuple[int, str]], arriving: list[tuple[int, str]], watched: int) -> None:
    """More arrives than can be sent, for ever: any call is sent after those before it, and twelve others for each."""
    turns, window = Turns(), Window()
    entries = [entry(n, f"i{n}", Operation.EVENT, workflow=w, priority=p) for n, (p, w) in enumerate(backlog, 1)]
    mine = entry(len(entries) + 1, "mine", Operation.EVENT, workflow="x", priority=watched)
    window.load([*entries, mine])
    number = mine.seq
    for sent in range(13 * (len(backlog) + 2)):
        for priority, workflow in arriving:
            number += 1
            window.load([entry(number, f"i{number}", Operation.EVENT, workflow=workflow, priority=priority)])
        request = choose({MAIN: window}, Open(), turns)  # type: ignore[arg-type]
        assert request is not None
        if request.entries == [mine]:
            return
        assert sent < 13 * (len(backlog) + 1)
    raise AssertionError
