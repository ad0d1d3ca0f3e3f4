"""The SQLite outbox as the event loop sees it; the file is written by ``writer``'s thread alone.

Most of it is jobs of the writer: so each sees what was queued before it. How queues are read is in ``reading``.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, TypeVar

import orjson

from bridge.errors import OutboxError
from bridge.outbox.aside import Aside
from bridge.outbox.base import Depth, Entry, Fetched, Intake, Queue, Receipt, Settlement, Verdict
from bridge.outbox.counts import Counts
from bridge.outbox.file import FileLock, connect, corrupt, is_corrupt, prepare
from bridge.outbox.ledger import Keeping
from bridge.outbox.reader import Reader
from bridge.outbox.reading import Reading
from bridge.outbox.receipts import FutureReceipt, fail
from bridge.outbox.room import Room
from bridge.outbox.state import EMPTY
from bridge.outbox.store import Store
from bridge.outbox.wakeup import Wakeup
from bridge.outbox.writer import Ask, Job, Settle, Writer, Written, add_job

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from bridge.message import Stored
    from bridge.outbox.settings import SqliteSettings
    from bridge.outbox.state import Snapshot

T = TypeVar("T")


class SqliteOutbox:
    """In one file; see ``base``. clock: Unix epoch, ms. dead_max_bytes: of dead letters, above it intake waits."""

    def __init__(
        self,
        settings: SqliteSettings,
        *,
        clock: Callable[[], int],
        dead_max_bytes: int = 0,
        ledger: Keeping = Keeping(),  # noqa: B008  a constant
    ) -> None:
        self.path = settings.path
        self._settings = settings
        self._keeping = ledger
        self._clock = clock
        self._lock = FileLock(settings.path)
        self._wakeup = Wakeup(clock)
        self._room = Room(settings, dead_max_bytes)
        self._reading = Reading(self.ask, lambda: self._tell(gained=True))
        self._aside = Aside()
        self._failure: OutboxError | None = OutboxError("the outbox is not open")
        self._snapshot: Snapshot = EMPTY
        self.counts = Counts()
        self._running = False  # the writer and the reader are there
        self._writer: Writer
        self._reader: Reader

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
        self._tell(gained=True)
        self._writer = Writer(store, path, self._written, count_bytes=self._settings.max_bytes > 0)
        self._writer.start()
        self._running = True

    def _open_store(self) -> Store:
        store = Store(connect(self._settings.path), self._settings, self._clock, self._keeping, self.counts)
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

    async def ask(self, run: Callable[[Store], T]) -> T:
        """What ``run`` returns, once the disk has what it did: it is part of a transaction, in the writer's thread."""
        job = Ask(asyncio.get_running_loop().create_future(), run)
        self._submit(job)
        result: T = await asyncio.shield(job.done)
        return result

    def _written(self, written: Written) -> None:
        """One transaction is on disk, or never will be."""
        self._room.written(written.jobs)
        if written.error is not None:
            self._fail(written.jobs, written.error)
        if written.snapshot is not None:
            self.counts.wrote(written.seconds)
            self._snapshot = written.snapshot
            self._tell(gained=written.snapshot.gained)
            for job, result in zip(written.jobs, written.results, strict=True):
                if not job.done.done():
                    job.done.set_result(result)
        self._room.look()

    def _tell(self, *, gained: bool) -> None:
        self._wakeup.tell(gained=gained, next_due_ms=self._snapshot.next_due_ms)

    def _fail(self, jobs: Sequence[Job], error: OutboxError) -> None:
        self._failure = self._failure or self._writer.failure
        for job in jobs:
            fail(job.done, error)

    # --- intake ------------------------------------------------------------------------------------------------------

    async def add(self, intake: Intake) -> Receipt:
        """See Outbox."""
        left = await self._room.wait(intake, lambda: self._snapshot if self._failure is None else None)
        job = add_job(asyncio.get_running_loop().create_future(), left)
        self._submit(job)
        self._room.queued(job)
        return FutureReceipt(job.done, whole=left is intake)

    # --- dispatch ----------------------------------------------------------------------------------------------------

    def queues(self) -> Sequence[Queue]:
        """See Outbox."""
        return self._snapshot.active

    async def pending(self, queue: Queue, after: int, limit: int) -> Sequence[Entry]:
        """See Outbox."""
        self._raise_failure()
        return await self._reading.pending(queue, after, limit, self._snapshot, self._reader)

    async def due(self, now_ms: int, limit: int) -> Sequence[Entry]:
        """See Outbox."""
        self._raise_failure()
        next_due = self._snapshot.next_due_ms
        if next_due is None or next_due > now_ms or limit <= 0:
            return ()
        entries, _ = await self._reading.look(lambda store, read: store.due(now_ms, limit, read))
        return entries  # none: ``next_due_ms`` may still lie in the past, ask again then

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
        self._reading.holding(holding, job.done)
        await asyncio.shield(job.done)

    async def unpark(self, workflow: Queue, instance_ids: Sequence[str]) -> None:
        """See Outbox."""
        holding = self._reading.unsettled  # one of these may park what is looked for
        if not (self._snapshot.parked or holding):
            return
        ids = orjson.dumps(instance_ids)
        if holding or self._reader.is_parked(ids):  # most often there is nothing to do
            await self.ask(lambda store: store.unpark(workflow, ids))

    async def recall(self, rules: Collection[str]) -> None:
        """See Outbox."""
        while await self.ask(lambda store: store.recall(rules)):
            pass

    async def fetch(self, queue: Queue, limit: int, without: Collection[tuple[str, str]]) -> Fetched:
        """See Outbox."""
        return Fetched(*await self._reading.look(lambda store, read: store.fetch(queue, limit, without, read)))

    async def away(self) -> Collection[Queue]:
        """See Outbox."""
        return await self.ask(lambda store: store.away())

    async def clock_set(self, by_ms: int) -> None:
        """See Outbox."""
        after = 0
        while after := await self.ask(lambda store, at=after: store.clock_set(by_ms, at)):  # type: ignore[misc]
            pass

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
        return await self.ask(lambda store: store.stored(source, names))

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
        await self.ask(lambda store: store.reset(source, known))

    async def withdraw(self, source: str, partitions: Iterable[str]) -> None:
        """See Positions: a durable outbox keeps its own, and only what waits for room is none of it yet."""
        self._room.withdraw(source, partitions)
