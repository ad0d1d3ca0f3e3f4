"""One transaction of the SQLite outbox: adds, dead letters, positions; the rest is in the modules it joins.

Everything here runs in the writer's thread, on its connection.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from bridge.message import Position, Stored
from bridge.outbox.dead_rows import dead_letter_row
from bridge.outbox.later import Later, Page
from bridge.outbox.rows import intake_rows
from bridge.outbox.seen import SeenIds
from bridge.outbox.settling import Settling
from bridge.outbox.shapes import Shapes
from bridge.outbox.sql import INSERT_ENTRIES, INSERT_ENTRY, INSERTED_AT_ONCE, QUERIES
from bridge.outbox.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bridge.outbox.base import Entry, Intake
    from bridge.outbox.rows import Row

_NOT_BEFORE = 5  # the place of not_before_ms in a row


class Store:
    """The writer's connection and all that is done on it between ``begin`` and ``commit``.

    After ``roll_back`` everything remembered of the file is read anew.
    """

    def __init__(self, connection: sqlite3.Connection, seen_ids: int, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._seen_ids = seen_ids
        self._shapes = Shapes(connection)  # outlives a rolled back transaction: the event loop reads by it
        self._clock = clock
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
        return Settling(self._connection, self.state, self.later, self._clock)

    @cached_property
    def _seen(self) -> SeenIds:
        return SeenIds(self._connection, self._seen_ids)

    # --- the transaction ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Open the transaction."""
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Write the counters and make everything durable: returns after the disk has it."""
        self.state.flush()
        self._connection.execute("COMMIT")

    def roll_back(self) -> None:
        """Undo the transaction, wherever it failed."""
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):  # SQLite rolls back by itself after some errors
                self._connection.execute("ROLLBACK")
        for part in ("state", "later", "settling", "_seen"):
            self.__dict__.pop(part, None)

    def reopen(self) -> None:
        """After a restart nothing is in flight: what had been given waits to be given again."""
        self._connection.execute(QUERIES["reopen_given"])
        self.state.reopened()
        self.settling.fulfil()

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
            calls, letters = self._seen.fresh(intake)
        dead += [dead_letter_row(letter) for letter in letters]
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
            self.state.died(len(letters))

    # --- reading under way -------------------------------------------------------------------------------------------

    def pending(self, number: int, after: int, limit: int) -> Page:
        """See Later.pending; remembers how far was read."""
        page = self.later.pending(number, after, limit)
        self._read[number] = max(self._read.get(number, 0), page.reached)
        return page

    def due(self, now_ms: int, limit: int, read: Mapping[int, int]) -> tuple[list[Entry], bool]:
        """See Later.due; ``read`` is what was read without asking here."""
        for number, reached in read.items():
            self._read[number] = max(self._read.get(number, 0), reached)
        return self.later.due(now_ms, limit, self._read)

    def unpark(self, number: int, lane_keys: Sequence[str]) -> None:
        """See Later.unpark."""
        self.later.unpark(number, lane_keys, self._clock())

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
