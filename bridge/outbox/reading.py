"""How dispatch reads the SQLite outbox: from the reader where it may, else as a job of the writer.

Reads of a queue happen in the event loop, on a connection of their own: a range of the hot table. Where something has
to be held back, or could be by what is under way, they are a job of the writer: so it sees what was queued before it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol, TypeVar

from bridge.outbox.later import Page
from bridge.outbox.rows import entries_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from bridge.outbox.base import Entry, Queue
    from bridge.outbox.reader import Reader
    from bridge.outbox.rows import Row
    from bridge.outbox.state import Snapshot
    from bridge.outbox.store import Store

T = TypeVar("T")
_PAGES_AT_ONCE = 4  # of entries that something holds back, before a reader gets its turn for another queue


class Ask(Protocol):
    """Has the writer run something as part of a transaction; gives what it returns once that is on disk."""

    async def __call__(self, run: Callable[[Store], T]) -> T:
        """Raises OutboxError."""


class Reading:
    """Where each queue was read up to, and what is under way that reads must not pass."""

    def __init__(self, ask: Ask, more: Callable[[], None]) -> None:
        """more: called where there may be more in a queue than was given."""
        self._ask = ask
        self._more = more
        self._unsettled: Counter[int] = Counter()  # queue number -> settles under way that may hold a lane
        self._looking = 0  # ``due`` under way: it may put entries back into their queues
        self._read: dict[int, int] = {}  # queue number -> the last seq that was read here

    def holding(self, numbers: Sequence[int], done: asyncio.Future[None]) -> None:
        """A settle of entries of these queues, which may hold lanes, is under way until ``done``."""
        if numbers:
            self._unsettled.update(numbers)
            done.add_done_callback(lambda _: self._unsettled.subtract(numbers))

    @property
    def unsettled(self) -> int:
        """Entries whose settles are under way and may hold lanes."""
        return self._unsettled.total()

    async def pending(
        self, queue: Queue, after: int, limit: int, snapshot: Snapshot, reader: Reader
    ) -> Sequence[Entry]:
        """See Outbox."""
        number = snapshot.numbers.get(queue)
        if number is None or limit <= 0:
            return ()
        by_writer = self._unsettled[number] or self._looking
        rows = None if by_writer else _read_pending(number, after, limit, snapshot, reader)
        if rows is None:
            return await self._pending_by_writer(number, after, limit)
        reached = rows[-1][0] if rows else after
        self._read[number] = max(self._read.get(number, 0), reached)
        return entries_of(rows, snapshot.shapes)

    async def _pending_by_writer(self, number: int, after: int, limit: int) -> Sequence[Entry]:
        page = Page([], after, more=True)
        for _ in range(_PAGES_AT_ONCE):
            reached = page.reached
            page = await self._ask(lambda store, at=reached: store.pending(number, at, limit))  # type: ignore[misc]
            if page.entries or not page.more:
                return page.entries
        self._more()  # ask again
        return ()

    async def look(
        self, some: Callable[[Store, Mapping[int, int]], tuple[list[Entry], bool]]
    ) -> tuple[list[Entry], bool]:
        """What was later and is given now, and whether there may be more: a few pages of it, until there is any.

        some: gives a page; it is told how far each queue was read here, as seqs by queue number.
        """
        self._looking += 1  # first: what is read while this is under way is read by the writer, too
        try:
            read = self._read.copy()
            for _ in range(_PAGES_AT_ONCE):
                entries, more = await self._ask(lambda store: some(store, read))
                if entries or not more:
                    return entries, more
        finally:
            self._looking -= 1
        return [], True


def _read_pending(number: int, after: int, limit: int, snapshot: Snapshot, reader: Reader) -> Sequence[Row] | None:
    if number in snapshot.held:
        return reader.pending_of_held(number, after, limit, snapshot.shapes)
    return reader.pending(number, after, limit)
