"""The one thread that writes the SQLite outbox: everything queued while a transaction ran goes into the next.

A job's future is resolved in the event loop after the disk has the transaction; the loop is woken once per transaction.
"""

from __future__ import annotations

import asyncio
import threading
from itertools import groupby
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from bridge.errors import OutboxError
from bridge.outbox.bindable import bindable
from bridge.outbox.file import corrupt, is_corrupt, is_transient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bridge.outbox.base import Intake, Settlement
    from bridge.outbox.state import Snapshot
    from bridge.outbox.store import Store

log = structlog.get_logger(__name__)

# A job that comes so soon after a transaction is not alone: the next ones are waited for as long, and share the sync.
# After a quiet moment a job is written at once.
_GATHER_SECONDS = 0.001
_FIRST_DELAY_SECONDS = 0.05
_LONGEST_DELAY_SECONDS = 5.0
_ATTEMPTS_WHEN_STOPPING = 3


class Add(NamedTuple):
    """A batch to store."""

    done: asyncio.Future[Any]
    intake: Intake
    entries: int
    size: int  # bytes


def add_job(done: asyncio.Future[Any], intake: Intake) -> Add:
    """A batch to store, and what it weighs."""
    size = sum([len(call[5]) + len(message[5] or b"") for message, call in intake.calls])
    size += sum([len(letter.message.body or b"") for letter in intake.dead])
    entries = max(1, len(intake.calls) + len(intake.dead))  # one of positions alone is work for the disk, too
    return Add(done, intake, entries, size)


class Settle(NamedTuple):
    """Verdicts to apply."""

    done: asyncio.Future[Any]
    settlements: Sequence[Settlement]


class Ask(NamedTuple):
    """Anything else; ``done`` gets what ``run`` returns."""

    done: asyncio.Future[Any]
    run: Callable[[Store], object]


Job = Add | Settle | Ask


class Written(NamedTuple):
    """What the loop is told of one transaction; ``error``: it never will be written."""

    jobs: Sequence[Job]
    results: Sequence[object]
    snapshot: Snapshot | None
    error: OutboxError | None
    seconds: float = 0.0  # that the transaction took, where it was written


def _bindable(job: Add) -> Add:
    try:
        intake = bindable(job.intake)
    except Exception:  # noqa: BLE001  of a type that no message has: a defect, the job is refused as it is
        return job
    return job if intake is job.intake else job._replace(intake=intake)


class Writer:
    """Owns the store after ``start``. ``tell`` is called in the event loop, once per transaction."""

    def __init__(self, store: Store, path: Path, tell: Callable[[Written], None], *, count_bytes: bool) -> None:
        self._store = store
        self._path = path
        self._tell = tell
        self._count_bytes = count_bytes
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._stopping = threading.Event()
        self.failure: OutboxError | None = None  # why nothing will be written any more; set by the thread
        self._thread = threading.Thread(target=self._run, name="outbox-writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job for the next transaction."""
        self._jobs.put(job)

    async def stop(self) -> None:
        """Write what is queued, or fail it where the disk does not take it, and end the thread."""
        self._stopping.set()
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while group := self._next_group():
                self._write(group)
        finally:
            self._store.close()

    def _next_group(self) -> list[Job]:
        """All that is queued, at least one; empty at the end."""
        job = self._next_job()
        group = []
        while job is not None:
            group.append(job)
            if self._jobs.empty():
                return group
            job = self._jobs.get_nowait()
        if group:
            self._jobs.put(None)  # the end comes after this group
        return group

    def _next_job(self) -> Job | None:
        try:
            job = self._jobs.get(timeout=_GATHER_SECONDS)
        except Empty:
            return self._jobs.get()
        self._stopping.wait(_GATHER_SECONDS)
        return job

    def _write(self, group: list[Job]) -> None:
        if self.failure is not None:
            self._report(Written(group, [], None, self.failure))
            return
        began = perf_counter()
        try:
            results, snapshot = self._write_until_it_holds(group)
        except OutboxError as error:
            self.failure = error
            self._report(Written(group, [], None, error))
        except Exception as error:  # noqa: BLE001  a job that cannot be bound or has a defect must not take the others along
            if not self._write_bindable(group):
                self._isolate(group, error)
        else:
            self._report(Written(group, results, snapshot, None, perf_counter() - began))

    def _write_bindable(self, group: list[Job]) -> bool:
        """Write the group with what SQLite cannot bind replaced; False when there is nothing of the kind."""
        made = [_bindable(job) if isinstance(job, Add) else job for job in group]
        if all(new is old for new, old in zip(made, group, strict=True)):
            return False
        self._write(made)
        return True

    def _isolate(self, group: list[Job], error: Exception) -> None:
        """A refused verdict or question fails alone. A refused batch ends the writing.

        A later batch would store a position beyond the refused one, and a restart would take that for delivered up to
        there; without positions it would overtake the refused one, which the broker gives again.
        """
        if len(group) > 1:
            for job in group:
                self._write([job])
            return
        refused = OutboxError(f"the outbox cannot store this: {error!r}")
        if isinstance(group[0], Add):
            self.failure = refused
        log.error("outbox_job_refused", error=repr(error), stops=self.failure is not None)
        self._report(Written(group, [], None, refused))

    def _write_until_it_holds(self, group: list[Job]) -> tuple[list[object], Snapshot]:
        """The same jobs in the same order again and again while the disk is full or busy."""
        attempt = 0
        while True:
            try:
                written = self._transaction(group)
            except Exception as error:
                self._store.roll_back()
                self._store.counts.write_errors += 1
                if is_corrupt(error):
                    raise corrupt(self._path, error) from error
                if not is_transient(error):
                    raise
                attempt += 1
                self._wait(attempt, error)
            else:
                if attempt:
                    log.info("outbox_writes_again", attempts=attempt)
                return written

    def _wait(self, attempt: int, error: Exception) -> None:
        if attempt == 1:
            log.error("outbox_cannot_write", path=str(self._path), error=str(error))
        if self._stopping.is_set() and attempt >= _ATTEMPTS_WHEN_STOPPING:
            raise OutboxError(f"the outbox file {self._path} could not be written before the end: {error}") from error
        delay = min(_FIRST_DELAY_SECONDS * 2 ** min(attempt - 1, 10), _LONGEST_DELAY_SECONDS)
        if self._stopping.wait(delay):
            threading.Event().wait(_FIRST_DELAY_SECONDS)

    def _transaction(self, group: list[Job]) -> tuple[list[object], Snapshot]:
        self._store.begin()
        results: list[object] = []
        for kind, run in groupby(group, type):
            results += self._do(kind, list(run))
        # Before the commit: what fails until then is undone and done again, what fails after it would be done twice.
        snapshot = self._store.state.snapshot(count_bytes=self._count_bytes)
        self._store.commit()
        return results, snapshot

    def _do(self, kind: type[Job], jobs: list[Any]) -> list[object]:
        if kind is Ask:
            return [job.run(self._store) for job in jobs]
        if kind is Add:
            self._store.add([job.intake for job in jobs])
        else:
            self._store.settling.settle([settlement for job in jobs for settlement in job.settlements])
        return [None] * len(jobs)

    def _report(self, written: Written) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, written)
