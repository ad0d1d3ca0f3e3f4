"""The memory outbox: the broker keeps a message until its last call is delivered, or dead and published."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bridge.errors import OutboxError
from bridge.outbox.base import Depth, Entry, Fetched, Intake, Queue, Receipt, Settlement, Verdict
from bridge.outbox.memory_entries import Held, MemoryEntries
from bridge.outbox.memory_positions import MemoryPositions
from bridge.outbox.partitions import Withdrawals, partition_of
from bridge.outbox.publisher import Publisher
from bridge.outbox.receipts import FutureReceipt, Open
from bridge.outbox.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from bridge.message import Message, Stored
    from bridge.outbox.publisher import DeadLetterQueue
    from bridge.outbox.settings import MemorySettings


class MemoryOutbox:
    """An ``Outbox`` and ``Positions``; see ``base``. ``clock`` gives Unix epoch milliseconds.

    dead_letters: where dead letters are published before a receipt resolves; opened and closed here. None: they are
    dropped and counted (``discarded``), which a user has to ask for.
    """

    def __init__(
        self, settings: MemorySettings, dead_letters: DeadLetterQueue | None, *, clock: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._publisher = Publisher(dead_letters)
        self._positions = MemoryPositions()
        self._withdrawals = Withdrawals()
        self._entries = MemoryEntries()
        self._in_flight: set[int] = set()
        self._withdrawn: set[int] = set()  # of those in flight: nobody sends them again
        self._notes: dict[str, str] = {}
        self._landed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._wakeup = Wakeup(clock)
        self._closed = True

    async def open(self) -> None:
        """See Outbox."""
        await self._publisher.open()
        self._closed = False

    async def close(self) -> None:
        """See Outbox; what was not delivered is still with the broker."""
        self._closed = True
        self._wakeup.stop()
        await self._publisher.close()
        error = OutboxError("the outbox was closed before everything of this batch was delivered")
        for batch in [batch for held in self._entries.all() for batch in held.batches]:
            batch.fail(error)
        self._room.set()

    @property
    def discarded(self) -> int:
        """Dead letters that were dropped because there is no DeadLetterQueue."""
        return self._publisher.discarded

    def _raise_failure(self) -> None:
        if self._closed:
            raise OutboxError("the outbox is not open")
        if self._publisher.failure is not None:
            raise self._publisher.failure

    # --- intake ------------------------------------------------------------------------------------------------------

    async def add(self, intake: Intake) -> Receipt:
        """See Outbox. Waits while the batch does not fit beside what is kept already.

        A message that came again while its calls are held is not taken twice: the receipt waits for those.
        """
        before = self._withdrawals.of(intake)
        async with self._turn:
            while not self._has_room(self._withdrawals.left(intake, before)):
                self._room.clear()
                await self._room.wait()
        self._raise_failure()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch = Open(done)
        left = self._withdrawals.left(intake, before)
        if left is not intake:  # withdrawn while it waited; what the broker gives again must not count as stored
            batch.withdraw()
        self._take(left, batch, done)
        return FutureReceipt(done)

    def _take(self, intake: Intake, batch: Open, done: asyncio.Future[None]) -> None:
        self._positions.add(intake, done)
        self._entries.take(intake, batch, self._clock())
        if intake.dead:
            batch.add()
            published = self._publisher.publish(intake.dead)
            published.add_done_callback(batch.settled_by)
            published.add_done_callback(lambda _: self._room.set())
        batch.settled()
        self._tell(gained=bool(intake.calls))

    def _has_room(self, intake: Intake) -> bool:
        kept = len(self._entries) + self._publisher.waiting
        if not kept or self._closed or not (intake.calls or intake.dead):
            return True
        heavy = self._entries.weight.bytes + self._publisher.waiting_bytes >= self._settings.max_bytes
        return not heavy and kept + self._entries.fresh(intake) <= self._settings.max_entries

    def _tell(self, *, gained: bool) -> None:
        self._wakeup.tell(gained=gained, next_due_ms=self.next_due_ms())

    # --- dispatch ----------------------------------------------------------------------------------------------------

    def queues(self) -> Sequence[Queue]:
        """See Outbox."""
        return self._entries.queues()

    async def pending(self, queue: Queue, after: int, limit: int) -> Sequence[Entry]:
        """See Outbox."""
        self._raise_failure()
        return self._entries.pending(queue, after, limit)

    async def due(self, now_ms: int, limit: int) -> Sequence[Entry]:
        """See Outbox."""
        self._raise_failure()
        given, returned = self._entries.due(now_ms, limit)
        self._tell(gained=returned)
        return given

    def next_due_ms(self) -> int | None:
        """See Outbox."""
        return self._entries.next_due_ms()

    def begin(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """See Outbox."""
        held = [entry for entry in entries if entry.seq in self._entries and entry.seq not in self._withdrawn]
        self._in_flight.update([entry.seq for entry in held])
        return held

    def originals(self, entries: Sequence[Entry]) -> Sequence[Message]:
        """The messages that these came from, of those that are still held."""
        return [self._entries[entry.seq].message for entry in entries if entry.seq in self._entries]

    def back(self, entries: Sequence[Entry]) -> None:
        """See Outbox."""
        for entry in entries:
            self._land(entry.seq)
            if entry.seq in self._withdrawn:
                self._drop(entry.seq)
        self._tell(gained=False)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """See Outbox. A dead one is settled when its letter is published."""
        self._raise_failure()
        dead = [s for s in settlements if s.verdict is Verdict.DEAD and s.entry.seq in self._entries]
        for settlement in settlements:
            if settlement.entry.seq in self._entries and settlement.verdict is not Verdict.DEAD:
                self._settle(settlement)
        self._tell(gained=False)
        if dead:
            await asyncio.shield(self._publisher.publish([self._entries.dead_letter(s) for s in dead]))
            for settlement in dead:
                self._finish(settlement.entry.seq)
            self._tell(gained=False)

    def _settle(self, settlement: Settlement) -> None:
        seq = settlement.entry.seq
        if settlement.verdict is Verdict.DELIVERED:
            self._finish(seq)
            return
        self._land(seq)
        if seq in self._withdrawn:
            self._entries.haunt(seq)
            self._drop(seq)
            return
        self._tell(gained=self._entries.put_off(settlement, self._clock()))

    def _finish(self, seq: int) -> None:
        """Delivered, or dead and published."""
        self._land(seq)
        held = self._remove(seq)
        if held is not None:
            for batch in held.batches:
                batch.settled()

    def _land(self, seq: int) -> None:
        self._in_flight.discard(seq)
        self._landed.set()

    def _drop(self, seq: int) -> None:
        """Withdrawn: another consumer will be given the message."""
        held = self._remove(seq)
        if held is not None:
            for batch in held.batches:
                batch.withdraw()

    def _remove(self, seq: int) -> Held | None:
        removed = self._entries.remove(seq, self._clock())
        if removed is None:
            return None
        held, freed = removed
        self._withdrawn.discard(seq)
        self._room.set()
        self._tell(gained=freed)
        return held

    async def unpark(self, workflow: Queue, instance_ids: Sequence[str]) -> None:
        """See Outbox."""
        self._tell(gained=self._entries.unpark([(workflow, each) for each in instance_ids], self._clock()))

    async def recall(self, rules: Collection[str]) -> None:
        """See Outbox."""
        self._tell(gained=self._entries.recall(rules, self._clock()))

    async def fetch(self, queue: Queue, limit: int, without: Collection[tuple[str, str]]) -> Fetched:
        """See Outbox."""
        self._raise_failure()
        fetched, returned = self._entries.fetch(queue, limit, without, self._clock())
        self._tell(gained=returned)
        return fetched

    async def away(self) -> Collection[Queue]:
        """See Outbox."""
        return ()

    async def clock_set(self, by_ms: int) -> None:
        """See Outbox."""
        self._entries.later.clock_set(by_ms)
        self._tell(gained=False)

    def newest(self, workflow: Queue, instance_id: str) -> str:  # noqa: ARG002  nothing is kept of what was made
        """See Outbox."""
        return instance_id

    def note(self, name: str, text: str) -> None:
        """See Outbox."""
        self._notes[name] = text

    def noted(self, name: str) -> str:
        """See Outbox."""
        return self._notes.get(name, "")

    def rest(self) -> None:
        """Nothing is sent any more: batches of which something is not delivered are the broker's again.

        Whoever waits for their receipts ends; those that wait only for dead letters to be published still resolve.
        """
        for batch in [batch for held in self._entries.all() for batch in held.batches]:
            batch.withdraw()

    async def wait_for_work(self) -> None:
        """See Outbox."""
        self._raise_failure()
        await self._wakeup.wait()

    def depth(self) -> Depth:
        """See Outbox."""
        return self._entries.depth()

    # --- positions ---------------------------------------------------------------------------------------------------

    async def stored(self, source: str, partitions: Iterable[str]) -> Mapping[str, Stored]:
        """See Positions: ``last`` is the last message up to which every receipt has resolved."""
        return self._positions.stored(source, partitions)

    async def committed(self, source: str, offsets: Mapping[str, int]) -> None:
        """See Positions."""
        self._positions.committed(source, offsets)

    async def reset(self, source: str, offsets: Mapping[str, int]) -> None:
        """See Positions."""
        self._positions.reset(source, offsets)

    async def withdraw(self, source: str, partitions: Iterable[str]) -> None:
        """See Positions. Waiting for the receipt of a batch of which something was dropped is cancelled."""
        names = set(partitions)
        self._positions.withdraw(source, names)
        self._withdrawals.add(source, names)
        flying: set[int] = set()
        for entry, *_ in self._entries.all():
            if entry.source != source or partition_of(entry.message_id) not in names:
                continue
            if entry.seq in self._in_flight:
                flying.add(entry.seq)
                self._withdrawn.add(entry.seq)
                continue
            if self._entries.later.holds(entry.seq):
                self._entries.haunt(entry.seq)
            self._drop(entry.seq)
        self._room.set()  # a batch of these partitions that waits for room needs none any more
        self._tell(gained=False)
        while flying & self._in_flight:
            self._landed.clear()
            await self._landed.wait()
