"""Keeps the windows filled from the outbox; bounded, however much is waiting there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bridge.call import Policy
from bridge.dispatch.window import Window
from bridge.outbox.base import Settlement, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.outbox.base import Outbox, Queue

WINDOW_ENTRIES = 4_000  # of one queue: room for many full batches in flight and as many waiting
CHUNK_ENTRIES = 1_000  # read at once
HELD_BACK_ENTRIES = WINDOW_ENTRIES // 2  # that wait behind a retry or a parked event; more go back to the outbox
LOADED_ENTRIES = 4 * WINDOW_ENTRIES  # of all queues; above it nothing that has become due is loaded


WAITS = frozenset({Verdict.RETRY, Verdict.PARK})  # these entries stay in the outbox


def _waits(settlement: Settlement) -> bool:
    """Whether the entry stays in the outbox: also a dead one, where it holds its lane."""
    if settlement.verdict is Verdict.DEAD:
        return Policy.decode(settlement.entry.policy).blocks_lane
    return settlement.verdict in WAITS


class Cursor:
    """How far one queue has been read."""

    __slots__ = ("after", "stale")

    def __init__(self) -> None:
        self.after = 0  # everything up to this entry was loaded
        self.stale = True  # there may be more


class Loader:
    """The windows of all queues. ``windows`` is what the next request is chosen from."""

    def __init__(self, outbox: Outbox) -> None:
        self.windows: dict[Queue, Window] = {}
        self._outbox = outbox
        self._cursors: dict[Queue, Cursor] = {}
        # An entry that goes back to the outbox to wait holds its lane there. While that is being written no entries
        # may be on their way from the outbox into the window, or one could pass it.
        self._moving = asyncio.Lock()

    def work_arrived(self) -> None:
        """Whatever was read to its end may have grown."""
        for cursor in self._cursors.values():
            cursor.stale = True

    async def refill(self, now_ms: int) -> None:
        """Load what is due and what is next, as far as there is room."""
        async with self._moving:
            await self._load_due(now_ms)
            for queue in self._outbox.queues():
                await self._load_pending(queue)

    def next_due_ms(self) -> int | None:
        """When more could be loaded because it is due; None: never, or there is no room for it now."""
        return None if self._is_full() else self._outbox.next_due_ms()

    def _is_full(self) -> bool:
        return sum(window.size for window in self.windows.values()) >= LOADED_ENTRIES

    async def _load_due(self, now_ms: int) -> None:
        due_ms = self.next_due_ms()
        if due_ms is None or due_ms > now_ms:
            return
        for entry in await self._outbox.due(now_ms, CHUNK_ENTRIES):
            self._window(entry.queue).load((entry,))

    async def _load_pending(self, queue: Queue) -> None:
        cursor = self._cursors.setdefault(queue, Cursor())
        window = self._window(queue)
        while cursor.stale and window.size <= WINDOW_ENTRIES - CHUNK_ENTRIES:
            cursor.stale = False  # before the wait: what arrives during it makes the cursor stale again
            entries = await self._outbox.pending(queue, cursor.after, CHUNK_ENTRIES)
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
                await self._outbox.settle(waits)
                self._apply(queue, waits)
                await self._unload_blocked(queue, [wait for wait in waits if wait.verdict is Verdict.DEAD])
                await self._shed(queue, max(settlement.at_ms for settlement in waits))

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
        if window.size <= HELD_BACK_ENTRIES:
            return
        held, parked = window.held_back()
        if len(held) + len(parked) <= HELD_BACK_ENTRIES:
            return
        await self._outbox.settle(
            [
                Settlement(entry, verdict, "behind", at_ms=at_ms, attempted=False)
                for verdict, entries in ((Verdict.RETRY, held), (Verdict.PARK, parked))
                for entry in entries
            ]
        )
        window.unload([*held, *parked])
