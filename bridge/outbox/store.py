"""One transaction of the SQLite outbox: adds, dead letters, positions; the rest is in the modules it joins.

Everything here runs in the writer's thread, on its connection.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import suppress
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from bridge.message import Position, Stored
from bridge.outbox.counts import Counts
from bridge.outbox.dead_rows import dead_letter_row, weight
from bridge.outbox.generations import Generations
from bridge.outbox.later import Later, Moment, Page
from bridge.outbox.ledger import Keeping, Ledger
from bridge.outbox.letters import Letters
from bridge.outbox.logbook import Logbook
from bridge.outbox.rows import intake_rows
from bridge.outbox.seen import SeenIds
from bridge.outbox.settling import Records, Settling
from bridge.outbox.shapes import Shapes
from bridge.outbox.sql import INSERT_ENTRIES, INSERT_ENTRY, INSERTED_AT_ONCE, QUERIES
from bridge.outbox.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from bridge.call import Call
    from bridge.message import Message
    from bridge.outbox.base import DeadLetter, Entry, Intake, Queue
    from bridge.outbox.rows import Row
    from bridge.outbox.settings import SqliteSettings

_NOT_BEFORE = 5  # the place of not_before_ms in a row


class Store:
    """The writer's connection and all that is done on it between ``begin`` and ``commit``.

    After ``roll_back`` everything remembered of the file is read anew.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        settings: SqliteSettings,
        clock: Callable[[], int],
        keeping: Keeping = Keeping(),  # noqa: B008
        counts: Counts | None = None,
    ) -> None:
        self.counts = counts or Counts()
        self._connection = connection
        self._settings = settings
        self._keeping = keeping
        self._shapes = Shapes(connection)  # outlives a rolled back transaction: the event loop reads by it
        self._clock = clock
        self._repeated: Counter[str] = Counter()  # duplicates by source, of the transaction under way
        self._read: dict[int, int] = {}  # queue number -> how far ``pending`` has read here

    @cached_property
    def state(self) -> State:
        """Counters and counts of the file as it is now."""
        return State(self._connection, self._shapes)

    @cached_property
    def later(self) -> Later:
        """What is not ready."""
        return Later(self._connection, self.state)

    @cached_property
    def settling(self) -> Settling:
        """Verdicts."""
        records = Records(self.ledger, self.generations)
        return Settling(self._connection, self.state, self.later, records, self._clock)

    @cached_property
    def letters(self) -> Letters:
        """The dead letters that are kept."""
        return Letters(self._connection, self.state, self.settling)

    @cached_property
    def logbook(self) -> Logbook:
        """What operators did, and what they have paused."""
        return Logbook(self._connection)

    @cached_property
    def ledger(self) -> Ledger:
        """What became of messages."""
        return Ledger(self._connection, self.state, self._keeping)

    @cached_property
    def generations(self) -> Generations:
        """Which instance of an id is the newest."""
        return Generations(self._connection, self.state, self._settings.generations_days)

    @cached_property
    def _seen(self) -> SeenIds:
        return SeenIds(self._connection, self._settings.seen_ids)

    # --- the transaction ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Open the transaction."""
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Write the counters and make everything durable: returns after the disk has it."""
        now_ms = self._clock()
        self.ledger.flush(now_ms)
        self.generations.prune(now_ms)
        self.state.flush()
        self._connection.execute("COMMIT")
        if self._repeated:
            self.counts.duplicates.update(self._repeated)
            self._repeated.clear()

    def roll_back(self) -> None:
        """Undo the transaction, wherever it failed."""
        self._repeated.clear()
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):  # SQLite rolls back by itself after some errors
                self._connection.execute("ROLLBACK")
        for part in ("state", "later", "settling", "letters", "ledger", "generations", "_seen"):
            self.__dict__.pop(part, None)

    def reopen(self) -> None:
        """After a restart nothing is in flight: what had been given waits to be given again."""
        self._connection.execute(QUERIES["reopen_given"])
        self.state.reopened()

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    # --- intake ------------------------------------------------------------------------------------------------------

    def add(self, intakes: Iterable[Intake]) -> None:
        """Store entries, dead letters and positions of some batches, in order."""
        rows: list[Row] = []
        dead: list[Row] = []
        positions: dict[tuple[str, str], Position] = {}
        for intake in intakes:
            rows += self._rows_of(intake, dead)
            for partition, position in intake.positions.items():
                positions[intake.source, partition] = position
        self._insert(rows)
        self._bury(dead)
        self._connection.executemany(
            QUERIES["store_position"], [(*partition, *position) for partition, position in positions.items()]
        )

    def _rows_of(self, intake: Intake, dead: list[Row]) -> list[Row]:
        calls, letters = intake.calls, intake.dead
        if not intake.positions:
            calls, letters, repeated = self._seen.fresh(intake)
            if repeated:
                self._repeated[intake.source] += repeated
        dead += [dead_letter_row(letter) for letter in letters]
        self.ledger.buried(letters, intake.received_ms)
        self.ledger.dropped(intake.dropped, intake.received_ms)
        state = self.state
        rows, originals = intake_rows(calls, intake.received_ms, state.shaping, state.next_original)
        if originals:
            self._connection.executemany(QUERIES["insert_original"], originals)
        return rows

    def _insert(self, rows: list[Row]) -> None:
        if not rows:
            return
        self.state.numbered([row[0] for row in rows])
        if any([row[_NOT_BEFORE] for row in rows]):  # noqa: C419  a list is faster than a generator here
            rows = self._without_delayed(rows)
        whole = len(rows) - len(rows) % INSERTED_AT_ONCE
        flat = [
            list(chain.from_iterable(rows[start : start + INSERTED_AT_ONCE]))
            for start in range(0, whole, INSERTED_AT_ONCE)
        ]
        self._connection.executemany(INSERT_ENTRIES, flat)
        self._connection.executemany(INSERT_ENTRY, rows[whole:])
        self.state.added([row[0] for row in rows])

    def _without_delayed(self, rows: list[Row]) -> list[Row]:
        now = self._clock()
        delayed = [row for row in rows if row[_NOT_BEFORE] > now]
        self._connection.executemany(QUERIES["insert_delayed"], delayed)
        self.state.later_changed(len(delayed))
        return [row for row in rows if row[_NOT_BEFORE] <= now]

    def _bury(self, letters: list[Row]) -> None:
        if letters:
            self._connection.executemany(QUERIES["insert_dead_letter"], letters)
            self.state.died(len(letters), sum(map(weight, letters)))

    # --- dead letters ------------------------------------------------------------------------------------------------

    def bring_in(self, letters: Iterable[DeadLetter]) -> None:
        """Keep these, which another outbox had."""
        self._bury([dead_letter_row(letter) for letter in letters])

    def redrive(self, number: int, calls: Sequence[tuple[Message, Call]], dead: Sequence[DeadLetter]) -> bool:
        """Instead of this dead letter these calls and dead letters; False where there is none of this number.

        One that blocks its lane gives its place in it to a call of the same lane, else the lane goes on without it.
        """
        if not self.letters.is_kept(number):
            return False
        revived = self.letters.revive(number, calls, self._clock())
        self.letters.discard(number)
        if not revived:
            now_ms = self._clock()
            rows, originals = intake_rows(calls, now_ms, self.state.shaping, self.state.next_original)
            self._connection.executemany(QUERIES["insert_original"], originals)
            self._insert(rows)
        self.bring_in(dead)
        self.ledger.buried(dead, self._clock())
        return True

    # --- reading under way -------------------------------------------------------------------------------------------

    def pending(self, number: int, after: int, limit: int) -> Page:
        """See Later.pending; remembers how far was read."""
        page = self.later.pending(number, after, limit)
        self._read[number] = max(self._read.get(number, 0), page.reached)
        return page

    def due(self, now_ms: int, limit: int, read: Mapping[int, int]) -> tuple[list[Entry], bool]:
        """See Later.due; ``read`` is what was read without asking here."""
        self._was_read(read)
        return self.later.due(now_ms, limit, self._read)

    def fetch(
        self, queue: Queue, limit: int, without: Collection[tuple[str, str]], read: Mapping[int, int]
    ) -> tuple[list[Entry], bool]:
        """See Later.fetch; ``read`` is what was read without asking here."""
        self._was_read(read)
        number = self.state.numbers.get(queue)
        return (
            ([], False)
            if number is None
            else self.later.fetch(number, limit, without, Moment(self._clock(), self._read))
        )

    def _was_read(self, read: Mapping[int, int]) -> None:
        for number, reached in read.items():
            self._read[number] = max(self._read.get(number, 0), reached)

    def away(self) -> list[Queue]:
        """See Outbox.away."""
        return [queue for queue, number in self.state.numbers.items() if self.later.is_away(number)]

    def unpark(self, workflow: Queue, instance_ids: bytes) -> None:
        """See Later.unpark."""
        self.later.unpark(workflow, instance_ids, self._clock())

    def clock_set(self, by_ms: int, after: int) -> int:
        """See Later.clock_set."""
        return self.later.clock_set(by_ms, after)

    def recall(self, rules: Collection[str]) -> bool:
        """See Later.recall."""
        return self.later.recall(rules, self._clock())

    # --- positions ---------------------------------------------------------------------------------------------------

    def stored(self, source: str, partitions: Sequence[str]) -> dict[str, Stored]:
        """What is known of these partitions."""
        return {partition: self._stored(source, partition) for partition in partitions}

    def _stored(self, source: str, partition: str) -> Stored:
        row: tuple[Any, ...] | None = self._connection.execute(QUERIES["position"], (source, partition)).fetchone()
        if row is None:
            return Stored(None, None)
        offset, timestamp_ms, committed = row
        return Stored(None if offset is None else Position(offset, timestamp_ms), committed)

    def committed(self, told: Mapping[str, Mapping[str, int]]) -> None:
        """The broker was told these next offsets, by source and partition."""
        rows = [(source, *known) for source, offsets in told.items() for known in offsets.items()]
        self._connection.executemany(QUERIES["store_committed"], rows)

    def reset(self, source: str, offsets: Mapping[str, int]) -> None:
        """Forget what was stored; these are the next offsets."""
        self._connection.executemany(QUERIES["reset_position"], [(source, *known) for known in offsets.items()])

    # --- notes -------------------------------------------------------------------------------------------------------

    def note(self, notes: Mapping[str, str]) -> None:
        """Keep these, each instead of the one before."""
        self._connection.executemany(QUERIES["store_note"], list(notes.items()))
