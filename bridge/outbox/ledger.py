"""The ledger of the SQLite outbox: what became of which message, written in the transaction that settles it.

Rows are kept in chunks (``ledger_rows``), the rows of a transaction in one: beside rows of their own with an index on
each id this is a fraction of the work and of the bytes, and all of it is written at the end of the table. Small chunks
are made one again as soon as there are enough of them. What is too old is deleted a few chunks at a time, by whatever
transaction comes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from bridge.outbox.ledger_rows import (
    joined,
    key_of,
    ledger_rows,
    lines_buried,
    lines_dropped,
    lines_errored,
    lines_settled,
    packed,
    unpacked,
)
from bridge.outbox.sql import QUERIES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from bridge.outbox.base import DeadLetter, Dropped, Settlement
    from bridge.outbox.ledger_rows import Lines
    from bridge.outbox.overview import LedgerFilter, LedgerRow
    from bridge.outbox.state import State

FULL_ROWS = 128  # a chunk of fewer rows is small: it is made one with its neighbours …
SMALL_CHUNKS = 64  # … when they have so many rows together, or when there are so many of them
PRUNED_CHUNKS = 4  # by one transaction at most


class Keeping(NamedTuple):
    """How long rows of the ledger are kept, and how many."""

    keep: timedelta | None = timedelta(days=7)  # None: none is written, and what is there goes
    max_bytes: int = 1 << 30  # of the chunks; above it the oldest go early. 0: no bound


class Ledger:
    """Used by the writer's thread alone, inside a transaction."""

    def __init__(self, connection: sqlite3.Connection, state: State, keeping: Keeping) -> None:
        self._connection = connection
        self._state = state
        self._keeping = keeping
        self._new: list[Lines] = []  # of this transaction
        self._small: list[tuple[int, int]] = []  # number and rows of the small chunks at the end, in order
        newest = connection.execute(QUERIES["newest_ledger"], (SMALL_CHUNKS,)).fetchall()
        self._oldest_ms = self._find_oldest()  # None: there is nothing
        self._next = sum(newest[0]) if newest else 1
        for number, rows in newest:
            if rows >= FULL_ROWS:
                break
            self._small.insert(0, (number, rows))

    def settled(self, settlements: Sequence[Settlement]) -> None:
        """These verdicts are final."""
        if self._keeping.keep is not None and settlements:
            self._new.append(lines_settled(settlements))

    def buried(self, letters: Sequence[DeadLetter], arrived_ms: int) -> None:
        """These died at intake."""
        if self._keeping.keep is not None and letters:
            self._new.append(lines_buried(letters, arrived_ms))

    def dropped(self, drops: Sequence[Dropped], arrived_ms: int) -> None:
        """These are to be no calls."""
        if self._keeping.keep is not None and drops:
            self._new.append(lines_dropped(drops, arrived_ms))

    def errored(self, rows: Sequence[LedgerRow], now_ms: int) -> None:
        """The instances that these rows' calls have made ended in an error."""
        if self._keeping.keep is not None and rows:
            self._new.append(lines_errored(rows, now_ms))

    def flush(self, now_ms: int) -> None:
        """Write what is new, and let go of some of what is too old; once, near the end of a transaction."""
        if self._new:
            self._write(joined(self._new))
            self._new.clear()
        self._prune(now_ms)

    def _write(self, lines: Lines) -> None:
        number, rows = self._next, len(lines.messages)
        self._next += rows
        if self._small and (rows + sum(r for _, r in self._small) >= FULL_ROWS or len(self._small) >= SMALL_CHUNKS):
            number = self._small[0][0]
            lines = joined([*self._taken(number), lines])
            self._small.clear()
        chunk = packed(lines)
        self._connection.execute(QUERIES["insert_ledger"], (number, *chunk))
        self._state.ledger_grew(chunk.weight)
        if chunk.rows < FULL_ROWS:
            self._small.append((number, chunk.rows))
        if self._oldest_ms is None:
            self._oldest_ms = chunk.last_ms

    def _taken(self, number: int) -> list[Lines]:
        """The rows of the chunks from this one on, which are there no more."""
        taken = sorted(self._connection.execute(QUERIES["take_ledger"], (number,)).fetchall())
        self._state.ledger_grew(-sum(size for *_, size in taken))
        return [unpacked(content) for _, content, _ in taken]

    def _prune(self, now_ms: int) -> None:
        keep, max_bytes = self._keeping
        if self._oldest_ms is None:
            return
        if keep is None or 0 < max_bytes < self._state.ledger_bytes:
            self._delete("prune_oldest_ledger", PRUNED_CHUNKS)
        elif self._oldest_ms < (limit_ms := now_ms - keep // timedelta(milliseconds=1)):
            self._delete("prune_ledger", limit_ms, PRUNED_CHUNKS)

    def _delete(self, query: str, *values: int) -> None:
        gone = dict(self._connection.execute(QUERIES[query], values).fetchall())
        self._state.ledger_grew(-sum(gone.values()))
        self._small = [small for small in self._small if small[0] not in gone]
        self._oldest_ms = self._find_oldest()

    def _find_oldest(self) -> int | None:
        row = self._connection.execute(QUERIES["oldest_ledger"]).fetchone()
        return None if row is None else int(row[0])


def found(connection: sqlite3.Connection, before: int, limit: int, chosen: LedgerFilter) -> list[LedgerRow]:
    """The rows that are asked for, the last first, with a number below ``before``; at most ``limit``."""
    rows: list[LedgerRow] = []
    for row in _chosen(connection, before, chosen):
        rows.append(row)
        if len(rows) >= limit:
            break
    return rows


def _chosen(connection: sqlite3.Connection, before: int, chosen: LedgerFilter) -> Iterator[LedgerRow]:
    values = {
        "before": before,
        "since_ms": chosen.since_ms,
        "until_ms": chosen.until_ms,
        "rule": None if chosen.rule is None else f"\n{chosen.rule}\n",
        "message": None if chosen.message is None else key_of(chosen.message),
        "instance": None if chosen.instance is None else key_of(chosen.instance),
    }
    for number, content in connection.execute(QUERIES["ledger"], values):
        rows = [row for row in ledger_rows(number, unpacked(content)) if row.number < before and _is_asked(row, chosen)]
        yield from reversed(rows)


def _is_asked(row: LedgerRow, chosen: LedgerFilter) -> bool:
    message, instance, rule, outcome, since_ms, until_ms, operation = chosen
    return (
        message in (None, row.message_id)
        and (instance is None or instance in (row.instance_id, row.made))
        and rule in (None, row.rule)
        and outcome in (None, row.outcome)
        and operation in (None, row.operation)
        and (since_ms is None or row.settled_ms >= since_ms)
        and (until_ms is None or row.settled_ms < until_ms)
    )
