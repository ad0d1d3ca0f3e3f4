"""What the loader has of the outbox, and that nothing of it keeps others out: with both outboxes."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

import pytest

from bridge.dispatch.loading import Loader
from bridge.dispatch.surplus import CHUNK_ENTRIES, KEPT_ENTRIES, WINDOW_ENTRIES
from bridge.outbox.base import Queue, Settlement, Verdict
from tests.dispatch.entries import entry
from tests.outbox.subjects import ORDERS, START_MS, Subject, create, event, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence
    from pathlib import Path

    from bridge.dispatch.window import Kind
    from bridge.outbox.base import Entry

MANY = 2 * WINDOW_ENTRIES + CHUNK_ENTRIES
MOST = WINDOW_ENTRIES + 2 * CHUNK_ENTRIES  # in a window at any time
EVENTS = ("fulfil-order", "event")


def nothing_stops(_queue: Queue, _kind: Kind) -> bool:
    return False


def events_stop(_queue: Queue, kind: Kind) -> bool:
    return kind[1] == "event"


class DeepOutbox:
    """Ten deep queues, and one retry of another target that is due."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.retries = [entry(0, "retry")._replace(target="other")]

    def queues(self) -> Sequence[Queue]:
        return [Queue("main", f"w-{number}") for number in range(10)]

    async def away(self) -> Collection[Queue]:
        return ()

    def next_due_ms(self) -> int | None:
        return 1 if self.retries else None

    async def due(self, now_ms: int, _limit: int) -> Sequence[Entry]:
        given, self.retries = (self.retries, []) if now_ms else ([], self.retries)
        return given

    async def pending(self, queue: Queue, _after: int, limit: int) -> Sequence[Entry]:
        numbers = [next(self._numbers) for _ in range(limit)]
        return [entry(number, f"i-{number}", workflow=queue.workflow) for number in numbers]


def test_full_windows_stop_no_retry_of_another_target() -> None:
    """As where one target is paused and has a backlog for many workflows: what becomes due elsewhere is loaded."""
    now = [0]
    outbox = DeepOutbox()
    loader = Loader(outbox, lambda: now[0])  # type: ignore[arg-type]  # what refill asks of it
    asyncio.run(loader.refill(nothing_stops))
    assert [window.size for window in loader.windows.values()] == [WINDOW_ENTRIES] * 10
    assert loader.next_seconds() == 0.001
    now[0] = 1
    asyncio.run(loader.refill(nothing_stops))
    assert loader.windows[Queue("other", "w")].size == 1


@pytest.fixture(params=["sqlite", "memory"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    one = Subject(request.param, tmp_path)
    await one.outbox.open()
    yield one
    await one.outbox.close()


class Dispatch:
    """Loads and sends as the dispatcher does; everything is delivered that may go."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.stops: Callable[[Queue, Kind], bool] = nothing_stops
        self.paused: set[str] = set()  # targets
        self.most = 0  # entries in a window
        self.sent: list[Entry] = []
        self.restart()

    def restart(self) -> None:
        """A new process; the outbox was opened anew."""
        self.loader = Loader(self.subject.outbox, self.subject.clock)

    async def refill(self) -> None:
        """Until there is no more to be done at once."""
        self.loader.work_arrived()
        while True:
            await soon(self.loader.refill(self.stops))
            self.most = max(self.most, *(window.size for window in self.loader.windows.values()))
            if not await self._woken() and self.loader.next_seconds() > 0:
                return

    async def _woken(self) -> bool:
        try:
            async with asyncio.timeout(0):
                await self.subject.outbox.wait_for_work()
        except TimeoutError:
            return False
        self.loader.work_arrived()
        return True

    async def send(self) -> int:
        """All that may go now; how many."""
        before = len(self.sent)
        for queue, window in self.loader.windows.items():
            going = [
                taken
                for kind, heads in window.groups()
                if not self.stops(queue, kind) and queue.target not in self.paused
                for taken in heads.pop(MANY, 1 << 30)
            ]
            if going:
                self.subject.outbox.begin(going)
                await soon(self.loader.settle(queue, [Settlement(taken, Verdict.DELIVERED) for taken in going]))
            self.sent += going
        return len(self.sent) - before

    async def send_all(self) -> None:
        await self.refill()
        while await self.send():
            await self.refill()


@pytest.fixture
def dispatch(subject: Subject) -> Dispatch:
    return Dispatch(subject)


async def test_what_may_not_be_sent_lets_others_of_its_queue_pass(dispatch: Dispatch) -> None:
    """Creates behind twice a window of events; of these some are kept, and the rest goes in order when they may.

    A process that begins meanwhile does the same.
    """
    subject = dispatch.subject
    await subject.store(
        *(event(n, f"i-{n // 2}") for n in range(MANY)), *(create(MANY + n, f"c-{n}") for n in range(50))
    )
    dispatch.stops = events_stop
    await dispatch.send_all()
    assert Counter(one.operation for one in dispatch.sent) == {"create": 50}
    window = dispatch.loader.windows[ORDERS]
    kept = window.singles[EVENTS]
    assert (kept.first()[0].instance_id, window.size) == ("i-0", KEPT_ENTRIES)
    depth = subject.outbox.depth()
    assert (depth.ready + depth.later, depth.ready) == (MANY, KEPT_ENTRIES)
    if subject.durable:
        await subject.reopen()
        dispatch.restart()
    await subject.store(create(MANY + 50, "c-50"))
    await dispatch.send_all()
    assert len(dispatch.sent) == 51
    dispatch.stops = nothing_stops
    await dispatch.send_all()
    events = [one for one in dispatch.sent if one.operation == "event"]
    assert sorted(number(one) for one in events) == list(range(MANY))
    lanes: dict[str, list[int]] = {}
    for one in events:
        lanes.setdefault(one.instance_id, []).append(number(one))
    assert all(numbers == sorted(numbers) for numbers in lanes.values())
    assert {(one.attempts, one.waited_ms) for one in events} == {(0, 0)}
    assert subject.outbox.depth()[:2] == (0, 0)
    assert dispatch.most <= MOST


async def test_a_lane_that_fills_the_window_lets_others_pass(dispatch: Dispatch) -> None:
    """One instance has more events than fit, and none may be sent: one of them stays, to be tried."""
    await dispatch.subject.store(*(event(n, "deep") for n in range(MANY)), create(MANY, "c"))
    dispatch.stops = events_stop
    await dispatch.send_all()
    assert [one.instance_id for one in dispatch.sent] == ["c"]
    assert [number(one) for one in dispatch.loader.windows[ORDERS].singles[EVENTS].first()] == [0]
    dispatch.stops = nothing_stops
    for _ in range(50):
        await dispatch.refill()
        assert await dispatch.send() == 1
    assert [number(one) for one in dispatch.sent[1:]] == list(range(50))


async def test_what_is_kept_is_replaced_when_it_is_gone(dispatch: Dispatch) -> None:
    """As where each probe of a pause is refused for good: there is always one to try, down to the last."""
    await dispatch.subject.store(*(event(n, f"i-{n}") for n in range(MANY)))
    dispatch.stops = events_stop
    await dispatch.refill()
    dead = 0
    while probes := dispatch.loader.windows[ORDERS].singles[EVENTS].pop(MANY, 1 << 30):
        dead += len(probes)
        await soon(dispatch.loader.settle(ORDERS, [Settlement(one, Verdict.DEAD, "rejected") for one in probes]))
        await dispatch.refill()
    assert dead == MANY


async def test_what_is_due_keeps_no_other_queue_out(dispatch: Dispatch) -> None:
    """More of a target than its window holds is due, and it is paused: what is due elsewhere comes in, in bounds."""
    subject = dispatch.subject
    late = {"not_before_ms": START_MS + 1}
    await subject.store(
        *(create(n, f"i-{n}", **late) for n in range(2 * MANY)), create(2 * MANY, "x", target="other", **late)
    )
    subject.clock.now_ms += 1
    dispatch.paused = {"main"}
    await dispatch.send_all()
    assert [one.instance_id for one in dispatch.sent] == ["x"]
    dispatch.paused.clear()
    await dispatch.send_all()
    assert sorted(number(one) for one in dispatch.sent) == list(range(2 * MANY + 1))
    assert dispatch.most <= MOST


def number(one: Entry) -> int:
    return int(one.message_id.rpartition("/")[2])
