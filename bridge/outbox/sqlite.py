"""The SQLite outbox as the event loop sees it; the file is written by ``writer``'s thread alone.

Reads of a queue happen here, on a connection of their own: a range of the hot table. Where something has to be held
back, or could be by what is under way, they are a job of the writer, as is everything else: so it sees what was queued
before it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from bridge.errors import OutboxError
from bridge.outbox.aside import Aside
from bridge.outbox.base import Depth, Entry, Intake, Queue, Receipt, Settlement, Verdict
from bridge.outbox.file import FileLock, connect, corrupt, is_corrupt, prepare
from bridge.outbox.later import Page
from bridge.outbox.reader import Reader
from bridge.outbox.receipts import FutureReceipt, fail
from bridge.outbox.room import Room
from bridge.outbox.rows import entries_of
from bridge.outbox.state import EMPTY
from bridge.outbox.store import Store
from bridge.outbox.wakeup import Wakeup
from bridge.outbox.wishes import Wishes
from bridge.outbox.writer import Ask, Job, Settle, Writer, Written, add_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bridge.message import Stored
    from bridge.outbox.rows import Row
    from bridge.outbox.settings import SqliteSettings
    from bridge.outbox.state import Snapshot

T = TypeVar("T")
_PAGES_AT_ONCE = 4  # of entries that something holds back, before a reader gets its turn for another queue


class SqliteOutbox:
    """An ``Outbox`` and ``Positions`` in one file; see ``base``. ``clock`` gives Unix epoch milliseconds."""

    def __init__(self, settings: SqliteSettings, *, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = FileLock(settings.path)
        self._wakeup = Wakeup(clock)
        self._room = Room(settings)
        self._unsettled: Counter[int] = Counter()  # queue number -> settles under way that may hold a lane
        self._looking = 0  # ``due`` under way: it may put entries back into their queues
        self._read: dict[int, int] = {}  # queue number -> the last seq that was read here
        self._aside = Aside()
        self._failure: OutboxError | None = OutboxError("the outbox is not open")
        self._snapshot: Snapshot = EMPTY
        self._running = False  # the writer and the reader are there
        self._writer: Writer
        self._reader: Reader
        self._wishes: Wishes

    # --- life --------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See Outbox: raises OutboxLocked where another process has the file, OutboxError where it cannot be used."""
        path = self._settings.path
        prepare(path)
        self._lock.acquire()
        try:
            store = await asyncio.to_thread(self._open_store)
            self._reader = Reader(path)
            self._aside.opened(self._reader.notes())
        except BaseException:
            self._lock.release()
            raise
        self._failure = None
        self._wakeup.tell(gained=True, next_due_ms=self._snapshot.next_due_ms)
        self._writer = Writer(store, path, self._written, count_bytes=self._settings.max_bytes > 0)
        self._writer.start()
        self._wishes = Wishes(self._reader, self._fulfil)
        self._running = True

    def _open_store(self) -> Store:
        store = Store(connect(self._settings.path), self._settings.seen_ids, self._clock)
        try:
            store.begin()
            store.reopen()
            store.commit()
            self._snapshot = store.state.snapshot(count_bytes=self._settings.max_bytes > 0)
        except sqlite3.Error as error:
            store.close()
            if is_corrupt(error):
                raise corrupt(self._settings.path, error) from error
            raise OutboxError(f"the outbox file {self._settings.path} cannot be used now: {error}") from error
        return store

    async def close(self) -> None:
        """See Outbox."""
        running, self._running = self._running, False
        if running:
            self._failure = self._failure or OutboxError("the outbox is closed")
            self._aside.submit(self._writer)
            self._wishes.stop()
            await self._writer.stop()
            self._reader.close()
        self._room.look()
        self._wakeup.stop()
        self._lock.release()

    # --- jobs of the writer ------------------------------------------------------------------------------------------

    def _submit(self, job: Job) -> None:
        self._raise_failure()
        self._aside.submit(self._writer)
        self._writer.submit(job)

    async def _ask(self, run: Callable[[Store], T]) -> T:
        job = Ask(asyncio.get_running_loop().create_future(), run)
        self._submit(job)
        result: T = await asyncio.shield(job.done)
        return result

    def _fulfil(self) -> None:
        self._writer.submit(Ask(asyncio.get_running_loop().create_future(), lambda store: store.settling.fulfil()))

    def _written(self, written: Written) -> None:
        """One transaction is on disk, or never will be."""
        self._room.written(written.jobs)
        if written.error is not None:
            self._fail(written.jobs, written.error)
        if written.snapshot is not None:
            self._snapshot = written.snapshot
            self._wakeup.tell(gained=written.snapshot.gained, next_due_ms=written.snapshot.next_due_ms)
            for job, result in zip(written.jobs, written.results, strict=True):
                if not job.done.done():
                    job.done.set_result(result)
        self._room.look()

    def _fail(self, jobs: Sequence[Job], error: OutboxError) -> None:
        self._failure = self._failure or self._writer.failure
        for job in jobs:
            fail(job.done, error)

    # --- intake ------------------------------------------------------------------------------------------------------

    async def add(self, intake: Intake) -> Receipt:
        """See Outbox."""
        # Once the outbox has failed the call fails instead of waiting for ever.
        await self._room.wait(lambda: self._snapshot if self._failure is None else None)
        job = add_job(asyncio.get_running_loop().create_future(), intake)
        self._submit(job)
        self._room.queued(job)
        return FutureReceipt(job.done)

    # --- dispatch ----------------------------------------------------------------------------------------------------

    def queues(self) -> Sequence[Queue]:
        """See Outbox."""
        return self._snapshot.active

    async def pending(self, queue: Queue, after: int, limit: int) -> Sequence[Entry]:
        """See Outbox."""
        self._raise_failure()
        number = self._snapshot.numbers.get(queue)
        if number is None or limit <= 0:
            return ()
        rows = None if self._unsettled[number] or self._looking else self._read_pending(number, after, limit)
        if rows is None:
            return await self._pending_by_writer(number, after, limit)
        reached = rows[-1][0] if rows else after
        self._read[number] = max(self._read.get(number, 0), reached)
        return entries_of(rows, self._snapshot.shapes)

    def _read_pending(self, number: int, after: int, limit: int) -> Sequence[Row] | None:
        if number in self._snapshot.held:
            return self._reader.pending_of_held(number, after, limit, self._snapshot.shapes)
        return self._reader.pending(number, after, limit)

    async def _pending_by_writer(self, number: int, after: int, limit: int) -> Sequence[Entry]:
        page = Page([], after, more=True)
        for _ in range(_PAGES_AT_ONCE):
            reached = page.reached
            page = await self._ask(lambda store, at=reached: store.pending(number, at, limit))  # type: ignore[misc]
            if page.entries or not page.more:
                return page.entries
        self._wakeup.tell(gained=True, next_due_ms=self._snapshot.next_due_ms)  # there may be more: ask again
        return ()

    async def due(self, now_ms: int, limit: int) -> Sequence[Entry]:
        """See Outbox."""
        self._raise_failure()
        next_due = self._snapshot.next_due_ms
        if next_due is None or next_due > now_ms or limit <= 0:
            return ()
        self._looking += 1  # first: what is read while this is under way is read by the writer, too
        try:
            read = self._read.copy()
            for _ in range(_PAGES_AT_ONCE):
                entries, more = await self._ask(lambda store: store.due(now_ms, limit, read))
                if entries or not more:
                    return entries
        finally:
            self._looking -= 1
        return ()  # ``next_due_ms`` still lies in the past: ask again

    def next_due_ms(self) -> int | None:
        """See Outbox."""
        return self._snapshot.next_due_ms

    def begin(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """See Outbox: nothing is ever withdrawn from a durable one."""
        return entries

    def back(self, entries: Sequence[Entry]) -> None:
        """See Outbox: who works on an entry is not kept here."""

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """See Outbox."""
        job = Settle(asyncio.get_running_loop().create_future(), settlements)
        holding = [s[0][0] >> 44 for s in settlements if s[1] is not Verdict.DELIVERED]
        self._submit(job)
        if holding:
            self._unsettled.update(holding)
            job.done.add_done_callback(lambda _: self._unsettled.subtract(holding))
        await asyncio.shield(job.done)

    async def unpark(self, queue: Queue, lane_keys: Sequence[str]) -> None:
        """See Outbox."""
        number = self._snapshot.numbers.get(queue)
        if number is None or not (number in self._snapshot.held or self._unsettled[number]):
            return
        if self._unsettled[number] or self._reader.is_parked(number, lane_keys):  # most often there is nothing to do
            await self._ask(lambda store: store.unpark(number, lane_keys))

    def newest(self, workflow: Queue, instance_id: str) -> str:
        """See Outbox: one seek, and only where there is any."""
        if workflow not in self._snapshot.renewed:
            return instance_id
        return self._reader.newest(workflow, instance_id) or instance_id

    async def wait_for_work(self) -> None:
        """See Outbox."""
        self._raise_failure()
        await self._wakeup.wait()

    def depth(self) -> Depth:
        """See Outbox."""
        return self._snapshot.depth()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # --- positions ---------------------------------------------------------------------------------------------------

    async def stored(self, source: str, partitions: Iterable[str]) -> Mapping[str, Stored]:
        """See Positions; sees what was queued before."""
        names = list(partitions)
        return await self._ask(lambda store: store.stored(source, names))

    async def committed(self, source: str, offsets: Mapping[str, int]) -> None:
        """See Positions: written with the next transaction."""
        self._aside.committed(source, offsets)

    def note(self, name: str, text: str) -> None:
        """See Outbox."""
        self._aside.note(name, text)

    def noted(self, name: str) -> str:
        """See Outbox."""
        return self._aside.noted(name)

    async def reset(self, source: str, offsets: Mapping[str, int]) -> None:
        """See Positions."""
        known = dict(offsets)
        await self._ask(lambda store: store.reset(source, known))

    async def withdraw(self, source: str, partitions: Iterable[str]) -> None:
        """See Positions: a durable outbox keeps its own."""
