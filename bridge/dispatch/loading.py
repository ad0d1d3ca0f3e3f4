"""Keeps the windows filled from the outbox; bounded, however much is waiting there."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING

import structlog

from bridge.call import Policy
from bridge.dispatch import surplus
from bridge.dispatch.away import Away
from bridge.dispatch.window import Window
from bridge.outbox.base import AWAY_MS, PUT_OFF_MS, Settlement, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from bridge.dispatch.timeline import Clock
    from bridge.dispatch.window import Kind
    from bridge.outbox.base import Outbox, Queue

log = structlog.get_logger(__name__)

CLOCK_NOTE = "clock"  # the time of day when it was written, Unix epoch in ms
NOTE_MS = 10_000  # between two of them
SET_MS = 60_000  # nobody waits for the lock as long; more is a clock that was set


WAITS = frozenset({Verdict.RETRY, Verdict.PARK})  # these entries stay in the outbox


def _waits(settlement: Settlement) -> bool:
    """Whether the entry stays in the outbox: also a dead one, where it holds its lane."""
    if settlement.verdict is Verdict.DEAD:
        return Policy.decode(settlement.entry.policy).blocks_lane
    return settlement.verdict in WAITS


def _free_ms(waits: Sequence[Settlement]) -> int:
    """When what waits behind these may be looked at again; what is put off says nothing about that."""
    times = [settlement.at_ms for settlement in waits if settlement.at_ms != PUT_OFF_MS]
    return max(times, default=waits[0].settled_ms)


class Cursor:
    """How far one queue has been read."""

    __slots__ = ("after", "stale")

    def __init__(self) -> None:
        self.after = 0  # everything up to this entry was loaded
        self.stale = True  # there may be more


class Loader:
    """The windows of all queues. ``windows`` is what the next request is chosen from."""

    def __init__(self, outbox: Outbox, now_ms: Callable[[], int]) -> None:
        """now_ms: by which entries are due, Unix epoch."""
        self.windows: dict[Queue, Window] = {}
        self._outbox = outbox
        self._now_ms = now_ms
        self._cursors: dict[Queue, Cursor] = {}
        self._away: dict[Queue, Away] = {}
        self._opened = False  # it was asked what an earlier process has given back
        self._goes_on = False  # there is more to be done at once
        # An entry that goes back to the outbox to wait holds its lane there. While that is being written no entries
        # may be on their way from the outbox into the window, or one could pass it.
        self._moving = asyncio.Lock()
        self._noted_ms: int | None = None

    def work_arrived(self) -> None:
        """Whatever was read to its end may have grown."""
        for cursor in self._cursors.values():
            cursor.stale = True

    async def follow(self, clock: Clock) -> None:
        """Where the clock was set, what waits for a span of time still waits as long; before anything is loaded by it.

        At first also where the clock is behind what an earlier process noted.
        """
        async with self._moving:
            by_ms, first = clock.was_set(), self._noted_ms is None
            if by_ms > 0 and not first:  # what is made due meanwhile is so by the old time, before it is moved or after
                await self._clock_set(by_ms)
            clock.follow(by_ms)
            if first:
                by_ms = min(0, self._now_ms() - int(self._outbox.noted(CLOCK_NOTE) or 0))
            if by_ms < 0:  # and here by the new one: either way it is due, moved or not
                await self._clock_set(by_ms)
            now_ms = self._now_ms()
            if self._noted_ms is None or abs(now_ms - self._noted_ms) >= NOTE_MS:
                self._noted_ms = now_ms
                self._outbox.note(CLOCK_NOTE, str(now_ms))

    async def _clock_set(self, by_ms: int) -> None:
        log.warning("clock_set", seconds=round(by_ms / 1000))
        await self._outbox.clock_set(by_ms)

    async def refill(self, stops: Callable[[Queue, Kind], bool]) -> None:
        """Load what is due and what is next, as far as there is room, and make room.

        stops: whether calls of this workflow and operation may not be sent while others of their queue may.
        """
        async with self._moving:
            if not self._opened:
                self._opened = True
                self._away = {queue: Away(unknown=True) for queue in await self._outbox.away()}
            self._goes_on = False
            await self._load_due(self._now_ms())
            for queue in dict.fromkeys([*self._outbox.queues(), *self._away]):
                await self._load_away(queue, partial(stops, queue))
                await self._load_pending(queue)
            for queue in list(self.windows):
                await self._give_back(queue, partial(stops, queue))

    def next_seconds(self) -> float:
        """How long until more could be loaded because it is due; 0: there is more to do, inf: nothing is."""
        due_ms = self._outbox.next_due_ms()
        if self._goes_on:
            return 0.0
        return math.inf if due_ms is None else (due_ms - self._now_ms()) / 1000

    async def _load_due(self, now_ms: int) -> None:
        due_ms = self._outbox.next_due_ms()
        if due_ms is None or due_ms > now_ms:
            return
        for entry in await self._outbox.due(now_ms, surplus.CHUNK_ENTRIES):
            self._window(entry.queue).load((entry,))

    async def _load_away(self, queue: Queue, stops: Callable[[Kind], bool]) -> None:
        """What was given back goes before what was never here; what may not be sent stays where some of it is here."""
        away, window = self._away.get(queue), self._window(queue)
        if away is None or not surplus.has_room(window):
            return
        without = surplus.stopped(window, stops).keys()
        if not away.has_other(without):
            return
        fetched = await self._outbox.fetch(queue, surplus.CHUNK_ENTRIES, without)
        window.load(fetched.entries)
        if not fetched.more:
            away.nothing_but(without)
        if not away:
            del self._away[queue]
        self._goes_on = self._goes_on or (fetched.more and not fetched.entries)

    async def _give_back(self, queue: Queue, stops: Callable[[Kind], bool]) -> None:
        """Make room for what wants to come in."""
        window = self.windows[queue]
        if surplus.has_room(window):
            return
        cursor, away = self._cursors.get(queue), self._away.setdefault(queue, Away())
        without = surplus.stopped(window, stops)
        wanted = (cursor is not None and cursor.stale) or away.has_other(without)
        lanes = surplus.lanes(window, without.values(), wanted=wanted)
        if lanes:
            self._goes_on = True
            back, now_ms = window.take_back(lanes), self._now_ms()
            away.gave({(entry.workflow, entry.operation) for entry, _ in back})
            await self._outbox.settle(
                [
                    Settlement(entry, verdict, "away", at_ms=AWAY_MS, settled_ms=now_ms, attempted=False)
                    for entry, verdict in back
                ]
            )
        if not away:
            del self._away[queue]

    async def _load_pending(self, queue: Queue) -> None:
        cursor = self._cursors.setdefault(queue, Cursor())
        window = self._window(queue)
        while cursor.stale and surplus.has_room(window):
            cursor.stale = False  # before the wait: what arrives during it makes the cursor stale again
            entries = await self._outbox.pending(queue, cursor.after, surplus.CHUNK_ENTRIES)
            if entries:
                cursor.after = entries[-1].seq
                cursor.stale = True
                window.load(entries)

    def _window(self, queue: Queue) -> Window:
        return self.windows.setdefault(queue, Window())

    async def settle(self, queue: Queue, settlements: Sequence[Settlement]) -> None:
        """Apply verdicts to the outbox first, then to the window: a lane goes on when its last call is safe."""
        waits = [settlement for settlement in settlements if _waits(settlement)]
        final = [settlement for settlement in settlements if not _waits(settlement)] if waits else settlements
        if final:
            await self._outbox.settle(final)
            self._window(queue).settled([settlement.entry for settlement in final])
        if waits:
            async with self._moving:
                waits = [self._on_time(wait) for wait in waits]
                await self._outbox.settle(waits)
                self._apply(queue, waits)
                await self._unload_blocked(queue, [wait for wait in waits if wait.verdict is Verdict.DEAD])
                await self._shed(queue, _free_ms(waits))

    def _on_time(self, wait: Settlement) -> Settlement:
        """Whoever waited for the lock may have decided by a clock that was set meanwhile."""
        late_ms = self._now_ms() - wait.settled_ms
        if abs(late_ms) < SET_MS or wait.at_ms == PUT_OFF_MS or not wait.settled_ms:
            return wait
        return wait._replace(at_ms=wait.at_ms + late_ms, settled_ms=wait.settled_ms + late_ms)

    async def recall(self, rules: Collection[str]) -> None:
        """See Outbox.recall."""
        async with self._moving:
            await self._outbox.recall(rules)

    def _apply(self, queue: Queue, waits: Sequence[Settlement]) -> None:
        window = self._window(queue)
        window.retried([wait.entry for wait in waits if wait.verdict is not Verdict.PARK])
        window.parked([wait.entry for wait in waits if wait.verdict is Verdict.PARK])

    async def _unload_blocked(self, queue: Queue, dead: Sequence[Settlement]) -> None:
        """Give back what waits behind these: who frees their lanes one day knows no window."""
        window = self._window(queue)
        behind = [(entry, death) for death in dead for entry in window.behind(death.entry)]
        if behind:
            await self._outbox.settle(
                [
                    Settlement(entry, Verdict.RETRY, "behind", at_ms=death.settled_ms, attempted=False)
                    for entry, death in behind
                ]
            )
            window.unload([entry for entry, _ in behind])

    async def _shed(self, queue: Queue, at_ms: int) -> None:
        """Give entries back that wait behind others, when they take up room that other lanes need."""
        window = self._window(queue)
        if window.size <= surplus.HELD_BACK_ENTRIES:
            return
        held, parked = window.held_back()
        if len(held) + len(parked) <= surplus.HELD_BACK_ENTRIES:
            return
        await self._outbox.settle(
            [
                Settlement(entry, verdict, "behind", at_ms=at_ms, attempted=False)
                for verdict, entries in ((Verdict.RETRY, held), (Verdict.PARK, parked))
                for entry in entries
            ]
        )
        window.unload([*held, *parked])
