from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.call import HIGH, LOW, Operation
from bridge.dispatch.window import Heads, Window
from tests.dispatch.entries import entry

if TYPE_CHECKING:
    from bridge.outbox.base import Entry


def take_all(window: Window) -> list[int]:
    """The seqs of everything that may be sent now."""
    heads = [*window.creates.values(), *window.singles.values()]
    return sorted(taken.seq for head in heads for taken in head.pop(100, 1 << 20))


def test_lanes_go_at_once_and_a_lane_one_by_one() -> None:
    """Of each lane one call is offered; its success offers the next."""
    window = Window()
    first, second, other = entry(1, "a"), entry(2, "a"), entry(3, "b")
    window.load([first, second, other])
    assert take_all(window) == [1, 3]
    window.settled([first])
    assert take_all(window) == [2]


def test_a_retry_holds_its_lane_until_it_is_back() -> None:
    """What comes after a call in retry waits, and goes after it."""
    window = Window()
    first, second = entry(1), entry(2)
    window.load([first, second])
    take_all(window)
    window.retried([first])
    assert take_all(window) == []
    window.load([first])
    assert take_all(window) == [1]
    window.settled([first])
    assert take_all(window) == [2]


def test_only_the_holder_frees_its_lane() -> None:
    """A delayed call of the same lane that comes due does not let others pass the one in retry."""
    window = Window()
    delayed, retried, last = entry(1), entry(2), entry(3)
    window.load([retried, last])
    take_all(window)
    window.retried([retried])
    window.load([delayed])
    assert take_all(window) == []
    window.load([retried])
    assert take_all(window) == [1]


def test_a_parked_event_lets_its_create_pass_and_nothing_else() -> None:
    """The create that a parked event waits for goes; a second event stays behind the first."""
    window = Window()
    parked, second = entry(1, operation=Operation.EVENT), entry(2, operation=Operation.EVENT)
    create = entry(3)
    window.load([parked, second, create])
    assert take_all(window) == [1]
    window.parked([parked])
    assert take_all(window) == [3]
    window.settled([create])
    assert take_all(window) == []
    window.load([parked])
    assert take_all(window) == [1]
    window.settled([parked])
    assert take_all(window) == [2]


def test_what_is_put_back_is_first_again() -> None:
    """Calls that a pause kept from being sent stand before those that came later."""
    window = Window()
    window.load([entry(1, "a"), entry(2, "b"), entry(3, "c")])
    taken = window.creates["w"].pop(2, 1 << 20)
    window.put_back(taken)
    assert [taken.seq for taken in window.creates["w"].pop(3, 1 << 20)] == [1, 2, 3]


def test_held_back_entries_can_be_unloaded() -> None:
    """Entries behind a retry leave the window and take no room."""
    window = Window()
    first, second, third = entry(1), entry(2), entry(3)
    window.load([first, second, third])
    take_all(window)
    window.retried([first])
    assert [held.seq for held in window.held_back()[0]] == [2, 3]
    window.unload([second, third])
    assert window.size == 0


def test_a_batch_ends_at_its_bytes() -> None:
    """A batch takes what fits, and a single call that is too big for any batch goes alone."""
    heads = Heads()
    for seq, size in enumerate([60, 30, 30, 200]):
        heads.push(entry(seq, body=b"x" * size))
    assert [len(taken.body) for taken in heads.pop(100, 100)] == [60, 30]
    assert [len(taken.body) for taken in heads.pop(100, 100)] == [30]
    assert [len(taken.body) for taken in heads.pop(100, 100)] == [200]


def test_priority_comes_before_age() -> None:
    """A younger call of a higher priority goes first; lower ones fill the batch."""
    heads = Heads()
    for seq, priority in enumerate([LOW, HIGH, LOW]):
        heads.push(entry(seq, priority=priority))
    assert [head.seq for head in heads.first()] == [1, 0]
    assert [taken.seq for taken in heads.pop(2, 1 << 20)] == [1, 0]


class Lanes(RuleBasedStateMachine):
    """Whatever happens to the calls, each lane is sent one at a time, and in order of arrival.

    The exception is the one on purpose: a create passes events that are parked for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.window = Window()
        self.seq = 0
        self.flying: list[Entry] = []
        self.outside: list[Entry] = []  # waits in the outbox
        self.parked: set[int] = set()  # ever
        self.unsettled: dict[str, list[Entry]] = defaultdict(list)

    @rule(lane=st.sampled_from("abc"), operation=st.sampled_from(Operation))
    def arrive(self, lane: str, operation: Operation) -> None:
        if any(other.lane_key == lane for other in self.outside):
            return  # the outbox gives nothing of a lane in which something waits there
        self.seq += 1
        new = entry(self.seq, lane, operation)
        self.unsettled[lane].append(new)
        self.window.load([new])

    @rule()
    def send(self) -> None:
        for heads in (self.window.creates["w"], *self.window.singles.values()):
            for taken in heads.pop(1, 1 << 20):
                before = [e for e in self.unsettled[taken.lane_key] if e.seq < taken.seq]
                if taken.operation is Operation.CREATE and self.parked & {e.seq for e in before}:
                    before = [e for e in before if e.operation is Operation.CREATE]
                assert before == []
                self.flying.append(taken)

    @precondition(lambda self: self.flying)
    @rule(verdict=st.sampled_from(["delivered", "retry", "park"]), data=st.data())
    def answer(self, verdict: str, data: st.DataObject) -> None:
        done = data.draw(st.sampled_from(self.flying))
        self.flying.remove(done)
        if verdict == "delivered" or (verdict == "park" and done.operation is Operation.CREATE):
            self.window.settled([done])
            self.unsettled[done.lane_key].remove(done)
        elif verdict == "park":
            self.window.parked([done])
            self.parked.add(done.seq)
            self.outside.append(done)
        else:
            self.window.retried([done])
            self.outside.append(done)

    @precondition(lambda self: self.outside)
    @rule(data=st.data())
    def due(self, data: st.DataObject) -> None:
        back = min(self.outside, key=lambda e: (data.draw(st.booleans()), e.seq))
        if any(other.lane_key == back.lane_key and other.seq < back.seq for other in self.outside):
            return  # within a lane the outbox gives the earlier one first
        self.outside.remove(back)
        self.window.load([back])

    @invariant()
    def one_in_flight_per_lane(self) -> None:
        lanes = [taken.lane_key for taken in self.flying]
        assert len(lanes) == len(set(lanes))

    @invariant()
    def counts_what_it_has(self) -> None:
        assert self.window.size == sum(map(len, self.unsettled.values())) - len(self.outside)

    def teardown(self) -> None:
        """Everything that arrived can be delivered in the end."""
        while self.outside or self.flying or self.window.size:
            for done in self.flying:
                self.window.settled([done])
                self.unsettled[done.lane_key].remove(done)
            self.flying.clear()
            for back in sorted(self.outside, key=lambda e: e.seq):
                self.window.load([back])
            self.outside.clear()
            size = self.window.size
            self.send()
            assert self.flying or not size


TestLanes = Lanes.TestCase
