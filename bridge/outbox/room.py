"""Back-pressure of the SQLite outbox: what is queued for the writer, and whether there is room for more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bridge.outbox.partitions import Withdrawals
from bridge.outbox.writer import Add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bridge.outbox.base import Intake
    from bridge.outbox.settings import SqliteSettings
    from bridge.outbox.state import Snapshot
    from bridge.outbox.writer import Job

# What a batch in the queue weighs beside its calls: until its receipt the reader holds all its messages, also those
# that became no call.
_BATCH_BYTES = 64 * 1024


class Room:
    """Adds wait here for room, in their order. ``look`` is told whenever there may be more of it."""

    def __init__(self, settings: SqliteSettings, dead_max_bytes: int = 0) -> None:
        """dead_max_bytes: of dead letters that are kept; 0: no bound."""
        self._settings = settings
        self._dead_max_bytes = dead_max_bytes
        self._withdrawals = Withdrawals()
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._adds = 0
        self._entries = 0
        self._bytes = 0

    async def wait(self, intake: Intake, snapshot: Callable[[], Snapshot | None]) -> Intake:
        """Return when there is room beside what the snapshot tells; at once where it tells nothing: the outbox failed.

        Gives what is left of the batch: without the partitions that were withdrawn meanwhile, which need no room.
        """
        before = self._withdrawals.of(intake)
        async with self._turn:
            while (now := snapshot()) is not None and not self._is_there(now):
                left = self._withdrawals.left(intake, before)
                if left is not intake and not left.positions:
                    break
                self._changed.clear()
                await self._changed.wait()
        return self._withdrawals.left(intake, before)

    def withdraw(self, source: str, partitions: Iterable[str]) -> None:
        """Who is given these partitions now is given their messages that wait here, too."""
        self._withdrawals.add(source, partitions)
        self.look()

    def _is_there(self, snapshot: Snapshot) -> bool:
        settings = self._settings
        weight = self._bytes + self._adds * _BATCH_BYTES
        if self._entries >= settings.queued_entries or weight >= settings.queued_bytes:
            return False
        kept = snapshot.ready + snapshot.later + self._entries
        if settings.max_entries and kept >= settings.max_entries:
            return False
        if self._dead_max_bytes and snapshot.dead_bytes >= self._dead_max_bytes:
            return False
        return not settings.max_bytes or snapshot.bytes_used + self._bytes < settings.max_bytes

    def look(self) -> None:
        """Who waits looks again."""
        self._changed.set()

    def queued(self, job: Add) -> None:
        """It goes to the writer."""
        self._count(job, 1)

    def written(self, jobs: Iterable[Job]) -> None:
        """The writer is done with these."""
        for job in jobs:
            if isinstance(job, Add):
                self._count(job, -1)

    def _count(self, job: Add, by: int) -> None:
        self._adds += by
        self._entries += by * job.entries
        self._bytes += by * job.size
