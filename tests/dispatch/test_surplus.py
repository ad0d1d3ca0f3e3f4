"""What a window gives back so that others find room, and that it all comes again, each lane in order."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from bridge.call import HIGH, LOW, NORMAL, Operation
from bridge.dispatch import surplus
from bridge.dispatch.away import Away
from bridge.dispatch.loading import Loader
from bridge.dispatch.surplus import CHUNK_ENTRIES, KEPT_ENTRIES, WINDOW_ENTRIES
from bridge.dispatch.window import Window
from bridge.outbox.base import Queue, Settlement, Verdict
from tests.dispatch.entries import entry
from tests.outbox.subjects import Subject, call, message, soon

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from bridge.dispatch.window import Kind
    from bridge.outbox.base import Entry

EVENT, CREATE = Operation.EVENT, Operation.CREATE
FULL = WINDOW_ENTRIES - CHUNK_ENTRIES + 1


def going(window: Window, *stops: Operation, wanted: bool = True) -> list[str]:
    """The lanes that have to go while these operations are stopped."""
    stopped = surplus.stopped(window, lambda kind: kind[1] in stops)
    return surplus.lanes(window, stopped.values(), wanted=wanted)


def test_the_newest_of_what_may_not_be_sent_goes() -> None:
    """So many of it stay as leave room; what may be sent stays; and where nobody wants room, or has some, all stays."""
    window = Window()
    window.load(entry(n, f"i-{n}", EVENT) for n in range(FULL - 10))
    window.load(entry(n, f"i-{n}") for n in range(FULL - 10, FULL - 1))
    assert going(window, EVENT) == []
    window.load([entry(FULL, "one-more")])
    assert going(window, EVENT) == [f"i-{n}" for n in range(KEPT_ENTRIES, FULL - 10)]
    assert going(window, EVENT, wanted=False) == going(window) == []


def test_what_waits_behind_it_counts() -> None:
    """A lane that is as long as all that may stay goes as a whole, and leaves its room to others."""
    window = Window()
    window.load(entry(n, "deep", EVENT) for n in range(FULL - 1))
    window.load([entry(FULL, "other", EVENT)])
    assert going(window, EVENT) == ["deep"]


def test_two_that_are_stopped_share_what_may_stay() -> None:
    """Events and status changes, both refused: half of it for each."""
    window = Window()
    window.load(entry(n, f"i-{n}", [EVENT, Operation.STATUS][n % 2]) for n in range(FULL))
    assert len(going(window, EVENT, Operation.STATUS)) == FULL - KEPT_ENTRIES


def test_of_too_many_the_newest_go() -> None:
    """Although they may be sent; what is in flight cannot go, what waits behind it can."""
    window, many = Window(), WINDOW_ENTRIES + CHUNK_ENTRIES + 1
    window.load(entry(n, f"i-{n}") for n in range(many - 1))
    assert going(window, wanted=False) == []
    window.load([entry(many, f"i-{many - 2}")])
    for _ in range(many):
        window.creates["w"].pop(1, 1 << 20)
    assert going(window, wanted=False) == [f"i-{many - 2}"]
    assert window.take_back([f"i-{many - 2}"]) == [(entry(many, f"i-{many - 2}"), Verdict.RETRY)]
    assert window.size == many - 1


def test_of_too_many_the_urgent_stay() -> None:
    """They came last, and yet others go."""
    window = Window()
    window.load(entry(n, f"i-{n}", priority=LOW if n == 7 else NORMAL) for n in range(WINDOW_ENTRIES))
    window.load(entry(n, f"i-{n}", priority=HIGH) for n in range(WINDOW_ENTRIES, WINDOW_ENTRIES + CHUNK_ENTRIES + 1))
    first, *others = going(window, wanted=False)
    assert (first, others) == ("i-7", [f"i-{WINDOW_ENTRIES - n}" for n in range(1, CHUNK_ENTRIES + 1)])


def test_what_was_parked_is_passed_by_creates_again() -> None:
    """And so are the events behind it; what was not parked is passed by nothing."""
    window = Window()
    was_parked = [entry(1, "a", EVENT)._replace(parked=True), entry(2, "a", EVENT), entry(3, "a"), entry(4, "a", EVENT)]
    other = [entry(5, "b", EVENT), entry(6, "b")]
    window.load([*was_parked, *other])
    verdicts = [verdict for _, verdict in window.take_back(["a", "b"])]
    assert verdicts == [Verdict.PARK, Verdict.PARK, Verdict.RETRY, Verdict.PARK, Verdict.RETRY, Verdict.RETRY]
    assert (window.size, list(window.lanes()), any(heads for _, heads in window.groups())) == (0, [], False)


def test_what_waits_behind_a_parked_call_is_passed_by_creates() -> None:
    """Whether that waits in the outbox, or is tried at this moment."""
    window = Window()
    first, second, third = (entry(n, "a", EVENT) for n in (1, 2, 3))
    window.load([first, second])
    window.singles["w", EVENT].pop(1, 1 << 20)
    window.parked([first])
    assert window.take_back(["a"]) == [(second, Verdict.PARK)]
    window.load([first._replace(parked=True), third])
    window.singles["w", EVENT].pop(1, 1 << 20)
    assert window.take_back(["a"]) == [(third, Verdict.PARK)]


def test_what_is_away_is_known() -> None:
    """What an earlier process gave back may be anything, until it was looked."""
    away = Away()
    assert not away
    away.gave([("w", EVENT), ("w", CREATE)])
    assert (away.has_other([("w", EVENT)]), away.has_other([("w", EVENT), ("w", CREATE)])) == (True, False)
    away.nothing_but([("w", EVENT), ("x", EVENT)])
    assert (bool(away), away.has_other([("w", EVENT)])) == (True, False)
    away.nothing_but([])
    assert not away
    away = Away(unknown=True)
    assert (bool(away), away.has_other([("w", EVENT)])) == (True, True)
    away.nothing_but([("w", EVENT)])
    assert (bool(away), away.has_other([("w", EVENT)])) == (True, False)


# --- random histories ------------------------------------------------------------------------------------------------

QUEUE = Queue("main", "w")
LANES = "abcdefgh"
SMALL = {"WINDOW_ENTRIES": 8, "CHUNK_ENTRIES": 2, "HELD_BACK_ENTRIES": 4, "KEPT_ENTRIES": 2}


class Known:
    """One call that is not settled."""

    def __init__(self, lane: str, operation: Operation) -> None:
        self.lane = lane
        self.create = operation is CREATE
        self.parked = False  # ever


class Histories(RuleBasedStateMachine):
    """Events or creates are stopped now and then; processes end; each lane goes in order, and nothing is lost."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.subject = self.run(self.start())
        self.loader = Loader(self.subject.outbox, self.subject.clock)
        self.known: dict[int, Known] = {}  # in order of arrival
        self.flying: list[Entry] = []
        self.stopped: set[str] = set()
        self.next = 0

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    async def start(self) -> Subject:
        subject = Subject(self.kind, Path(self.folder.name))
        await subject.outbox.open()
        return subject

    @rule(calls=st.lists(st.tuples(st.sampled_from(LANES), st.sampled_from([CREATE, EVENT])), min_size=1, max_size=20))
    def arrive(self, calls: list[tuple[str, Operation]]) -> None:
        pairs = []
        for lane, operation in calls:
            pairs.append((message(self.next), call(lane, operation, workflow="w")))
            self.known[self.next] = Known(lane, operation)
            self.next += 1
        self.run(self.subject.store(*pairs))

    @rule(stopped=st.sets(st.sampled_from([EVENT, CREATE])))
    def stop(self, stopped: set[str]) -> None:
        self.stopped = stopped

    def stops(self, _queue: Queue, kind: Kind) -> bool:
        return kind[1] in self.stopped

    @rule()
    def refill(self) -> None:
        self.loader.work_arrived()
        self.run(self.loader.refill(self.stops))

    @rule(count=st.integers(1, 4))
    def send(self, count: int) -> None:
        """The heads of what may go."""
        window = self.loader.windows.get(QUEUE, Window())
        for kind, heads in window.groups():
            if self.stops(QUEUE, kind):
                continue
            for taken in heads.pop(count, 1 << 20):
                self.begins(taken)

    def begins(self, taken: Entry) -> None:
        one = self.known[number(taken)]
        before = [other for n, other in self.known.items() if n < number(taken) and other.lane == one.lane]
        if one.create and any(other.parked for other in before):
            before = [other for other in before if other.create]
        assert before == []
        assert taken.seq not in {other.seq for other in self.flying}
        assert self.subject.outbox.begin([taken]) == [taken]
        self.flying.append(taken)

    @precondition(lambda self: self.flying)
    @rule(verdict=st.sampled_from([Verdict.DELIVERED, Verdict.RETRY, Verdict.PARK]), data=st.data())
    def answer(self, verdict: Verdict, data: st.DataObject) -> None:
        done = data.draw(st.sampled_from(self.flying))
        self.flying.remove(done)
        if verdict is Verdict.PARK and done.operation == CREATE:
            verdict = Verdict.DELIVERED
        self.settle(done, verdict)

    def settle(self, done: Entry, verdict: Verdict) -> None:
        now_ms = self.subject.clock.now_ms
        self.run(soon(self.loader.settle(QUEUE, [Settlement(done, verdict, "x", at_ms=now_ms + 3, settled_ms=now_ms)])))
        if verdict is Verdict.DELIVERED:
            del self.known[number(done)]
        else:
            self.known[number(done)].parked |= verdict is Verdict.PARK

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        """As when a pause keeps it from being sent."""
        back = data.draw(st.sampled_from(self.flying))
        self.flying.remove(back)
        self.subject.outbox.back([back])
        self.loader.windows[QUEUE].put_back([back])

    @rule(lane=st.sampled_from(LANES))
    def unpark(self, lane: str) -> None:
        self.run(self.subject.outbox.unpark(QUEUE, [lane]))

    @rule(by=st.integers(1, 6))
    def time_passes(self, by: int) -> None:
        self.subject.clock.now_ms += by

    @precondition(lambda self: self.kind == "sqlite")
    @rule()
    def reopen(self) -> None:
        self.run(self.subject.reopen())
        self.loader = Loader(self.subject.outbox, self.subject.clock)
        self.flying.clear()

    @rule()
    def counts(self) -> None:
        depth = self.subject.outbox.depth()
        assert depth.ready + depth.later == len(self.known)

    @rule()
    def settle_down(self) -> None:
        """Until there is no more to be done at once: the window has no more than it may."""
        rounds = 0
        self.refill()
        while self.loader.next_seconds() <= 0:
            self.refill()
            rounds += 1
            assert rounds < 1_000, "it never comes to rest"
        size = sum(window.size for window in self.loader.windows.values())
        assert size - len(self.flying) <= SMALL["WINDOW_ENTRIES"] + SMALL["CHUNK_ENTRIES"]

    @rule()
    def drain(self) -> None:
        """Everything is delivered in the end."""
        self.stopped = set()
        idle = 0
        while self.known and idle < 5:
            self.subject.clock.now_ms += 10
            self.settle_down()
            self.send(100)
            idle = 0 if self.flying else idle + 1
            for done in self.flying:
                self.settle(done, Verdict.DELIVERED)
            self.flying.clear()
        assert self.known == {}
        assert self.subject.outbox.depth()[:2] == (0, 0)

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.run(self.subject.outbox.close())
            self.runner.close()
            self.folder.cleanup()


def number(one: Entry) -> int:
    return int(one.message_id.rpartition("/")[2])


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_random_histories(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """See the machine's text."""
    for name, value in SMALL.items():
        monkeypatch.setattr(surplus, name, value)
    machine = type("Machine", (Histories,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=300 if kind == "memory" else 80,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
