"""Random histories of both outboxes against a dict: nothing lost, nothing twice, every lane in order."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from bridge.call import Operation
from bridge.outbox.base import AWAY_MS, Queue, Verdict
from tests.outbox.subjects import START_MS, Subject, call, message

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from bridge.outbox.base import Entry, Fetched

LANES = [(workflow, instance) for workflow in ("one", "two") for instance in ("a", "b")]
CALLS = st.lists(
    st.tuples(
        st.sampled_from(LANES),
        st.sampled_from([Operation.CREATE, Operation.EVENT]),
        st.sampled_from([0, 0, 0, 3, 8]),  # due that much later
    ),
    min_size=1,
    max_size=6,
)


class Known:
    """What the model knows of one call. holds: RETRY or PARK, from the verdict until it is delivered or dead."""

    def __init__(self, lane: tuple[str, str], *, create: bool, due_ms: int) -> None:
        self.lane = lane
        self.create = create
        self.due_ms = due_ms  # not given before
        self.delayed = due_ms > 0
        self.given = False
        self.holds: Verdict | None = None
        self.attempts = 0


class Histories(RuleBasedStateMachine):
    """The caller keeps a window as dispatch does: of each lane it sends the first, one at a time."""

    kind = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.subject = self.run(self.start())
        self.known: dict[int, Known] = {}  # by number, in order of arrival
        self.window: dict[int, Entry] = {}  # by number
        self.cursors: dict[str, int] = {"one": 0, "two": 0}
        self.dead: list[int] = []
        self.next = 0

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    async def start(self) -> Subject:
        subject = Subject(self.kind, Path(self.folder.name))
        await subject.outbox.open()
        return subject

    # --- what the outbox is asked ------------------------------------------------------------------------------------

    @initialize(calls=CALLS)
    def first(self, calls: list[Any]) -> None:
        self.add(calls)

    @rule(calls=CALLS, together=st.booleans())
    def add(self, calls: list[Any], together: bool = False) -> None:  # noqa: FBT001, FBT002
        """Messages of one call each, or one message of them all."""
        pairs = []
        shared = message(self.next)
        for (workflow, instance), operation, delay in calls:
            due_ms = self.subject.clock.now_ms + delay if delay else 0
            one = call(instance, operation, workflow=workflow, not_before_ms=due_ms, event_type=str(self.next))
            pairs.append((shared if together else message(self.next), one))
            self.known[self.next] = Known((workflow, instance), create=operation is Operation.CREATE, due_ms=due_ms)
            self.next += 1
        self.run(self.subject.store(*pairs))

    @rule(workflow=st.sampled_from(["one", "two"]), limit=st.integers(1, 5))
    def pending(self, workflow: str, limit: int) -> None:
        self.read(workflow, limit)

    @rule(limit=st.integers(1, 5))
    def due(self, limit: int) -> None:
        self.read_due(limit)

    def read(self, workflow: str, limit: int) -> int:
        entries = self.run(self.subject.pending(Queue("main", workflow), self.cursors[workflow], limit))
        assert len(entries) <= limit
        for entry in entries:
            assert entry.seq > self.cursors[workflow]
            self.cursors[workflow] = entry.seq
            self.take(entry)
            one = self.known[number(entry)]
            # What was later comes from its queue when, as after a restart, others before it were not read yet. It is
            # ready then like any other: its lane follows it in order.
            one.delayed, one.holds = False, None
        return len(entries)

    def read_due(self, limit: int) -> int:
        next_due = self.subject.outbox.next_due_ms()
        entries = self.run(self.subject.due(limit))
        assert len(entries) <= limit
        assert not entries or (next_due is not None and next_due <= self.subject.clock.now_ms)
        for entry in entries:
            self.take(entry)
        return len(entries)

    def take(self, entry: Entry) -> None:
        one = self.known[number(entry)]
        assert not one.given, "given twice"
        assert one.due_ms <= self.subject.clock.now_ms, "given before its time"
        assert entry.attempts == one.attempts
        ahead = [other for n, other in self.known.items() if n < number(entry) and other.lane == one.lane]
        parked = [index for index, other in enumerate(ahead) if other.holds is Verdict.PARK]
        if not one.create:
            assert not parked, "passed a parked event"
        elif parked:  # a create passes it, and the events and status changes that wait behind it
            ahead = ahead[: parked[0]] + [other for other in ahead[parked[0] :] if other.create]
        assert not any(other.holds is Verdict.RETRY for other in ahead), "passed a retry"
        waiting = [other for other in ahead if not other.given and not other.delayed and other.holds is None]
        assert not waiting, "passed one that came before it"
        one.given = True
        self.window[number(entry)] = entry

    # --- what becomes of entries -------------------------------------------------------------------------------------

    def sendable(self) -> list[int]:
        firsts: dict[tuple[str, str], int] = {}
        for n in sorted(self.window):
            firsts.setdefault(self.known[n].lane, n)
        return [n for n in firsts.values() if not self.held_outside(n)]

    def held_outside(self, n: int) -> bool:
        """The window, too, keeps a lane back while one of its calls waits for a retry, or is parked."""
        one = self.known[n]
        ahead = [other for m, other in self.known.items() if m < n and other.lane == one.lane and not other.given]
        return any(o.holds is Verdict.RETRY or (o.holds is Verdict.PARK and not one.create) for o in ahead)

    @precondition(lambda self: self.sendable())
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.sendable()), min_size=1, unique=True))
        verdict = data.draw(st.sampled_from([Verdict.DELIVERED, Verdict.DELIVERED, *Verdict]))
        delay = data.draw(st.sampled_from([0, 2, 5]))
        attempted = data.draw(st.booleans())
        self.conclude(chosen, verdict, self.subject.clock.now_ms + delay, attempted=attempted)

    @precondition(lambda self: any(self.held_outside(n) for n in self.window))
    @rule()
    def hand_back(self) -> None:
        """As dispatch does when its window is full of what waits behind a retry."""
        back = [n for n in self.window if self.held_outside(n)]
        self.conclude(back, Verdict.RETRY, self.subject.clock.now_ms + 1, attempted=False)

    @precondition(lambda self: self.window)
    @rule(lanes=st.sets(st.sampled_from(LANES), min_size=1))
    def give_away(self, lanes: set[tuple[str, str]]) -> None:
        """As dispatch does when its window has no room for them: all of a lane."""
        back = [n for n in self.window if self.known[n].lane in lanes]
        self.conclude(back, Verdict.RETRY, AWAY_MS, attempted=False)

    @rule(workflow=st.sampled_from(["one", "two"]), limit=st.integers(1, 5))
    def fetch(self, workflow: str, limit: int) -> None:
        self.read_away(workflow, limit)

    def read_away(self, workflow: str, limit: int) -> int:
        for one in self.known.values():
            if one.lane[0] == workflow and one.due_ms == AWAY_MS:
                one.due_ms = 0
        fetched: Fetched = self.run(self.subject.outbox.fetch(Queue("main", workflow), limit, ()))
        assert len(fetched.entries) <= limit
        for entry in fetched.entries:
            self.take(entry)
        return len(fetched.entries) + fetched.more

    def conclude(self, numbers: list[int], verdict: Verdict, at_ms: int, *, attempted: bool) -> None:
        entries = [self.window.pop(n) for n in numbers]
        self.run(self.subject.settle(verdict, *entries, at_ms=at_ms, attempted=attempted, reason="x"))
        for n in numbers:
            one = self.known[n]
            if verdict in {Verdict.DELIVERED, Verdict.DEAD}:
                del self.known[n]
                self.dead += [n] if verdict is Verdict.DEAD else []
            else:
                one.given, one.holds, one.due_ms, one.delayed = False, verdict, at_ms, False
                one.attempts += attempted

    @rule(lane=st.sampled_from(LANES))
    def unpark(self, lane: tuple[str, str]) -> None:
        self.run(self.subject.outbox.unpark(Queue("main", lane[0]), [lane[1]]))
        for one in self.known.values():
            if one.lane == lane and one.holds is Verdict.PARK and not one.given:
                one.due_ms = min(one.due_ms, self.subject.clock.now_ms)

    @rule(by=st.integers(1, 6))
    def time_passes(self, by: int) -> None:
        self.subject.clock.now_ms += by

    @precondition(lambda self: self.kind == "sqlite")
    @rule()
    def reopen(self) -> None:
        """What was given comes again."""
        self.run(self.subject.reopen())
        self.window.clear()
        self.cursors = dict.fromkeys(self.cursors, 0)
        for one in self.known.values():
            if one.given:
                one.given, one.delayed = False, False
                one.due_ms = 0
                one.holds = None
            elif one.delayed and one.due_ms <= self.subject.clock.now_ms:
                one.delayed = True

    # --- the end -----------------------------------------------------------------------------------------------------

    @rule()
    def counts(self) -> None:
        depth = self.subject.outbox.depth()
        assert depth.ready + depth.later == len(self.known)
        assert depth.oldest_ms == (START_MS if self.known else 0)
        assert depth.dead == (len(self.dead) if self.kind == "sqlite" else 0)

    @rule()
    def drain(self) -> None:
        """Everything can be delivered in the end."""
        idle = 0
        while self.known and idle < 3:
            self.subject.clock.now_ms += 10
            away = [self.read_away(workflow, 5) for workflow in ("one", "two")]
            came = sum([*away, self.read_due(5), self.read("one", 5), self.read("two", 5)])
            sent = self.sendable()
            if sent:
                self.conclude(sent, Verdict.DELIVERED, 0, attempted=True)
            idle = 0 if came or sent else idle + 1
        assert self.known == {}
        assert self.subject.outbox.depth()[:2] == (0, 0)

    def teardown(self) -> None:
        try:
            self.drain()
            letters = self.subject.dead_letters()
            assert [int(letter.call.event_type) for letter in letters if letter.call] == self.dead
        finally:
            self.run(self.subject.outbox.close())
            self.runner.close()
            self.folder.cleanup()


def number(entry: Entry) -> int:
    return int(entry.event_type)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_random_histories(kind: str) -> None:
    """See the module's text."""
    machine = type("Machine", (Histories,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=150 if kind == "memory" else 60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
