"""What operators ask of an SQLite outbox: beside a running bridge or without one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from bridge.errors import OutboxError
from bridge.outbox.bindable import plain
from bridge.outbox.dead_rows import dead_letter_of
from bridge.outbox.file import check_version, connect_reader, corrupt, is_transient
from bridge.outbox.ledger import found
from bridge.outbox.overview import EVERY, EVERYTHING, Deed, Kind, Paused
from bridge.outbox.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bridge.outbox.base import StoredDeadLetter
    from bridge.outbox.overview import DeadLetterFilter, LedgerFilter, LedgerRow
    from bridge.outbox.rows import Row

    Values = tuple[int, ...] | Mapping[str, int | str | bytes | None]

T = TypeVar("T")
LAST = (1 << 63) - 1  # no number is above it


class SqliteOutboxAdmin:
    """An ``OutboxAdmin``; takes no lock. Raises OutboxError where the file cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def dead_letters(
        self, after: int = 0, limit: int = 100, chosen: DeadLetterFilter = EVERY
    ) -> list[StoredDeadLetter]:
        """See OutboxAdmin."""
        values = {**_asked(chosen), "after": after, "limit": limit}
        return [dead_letter_of(row) for row in self._read("dead_letters", values)]

    def newest_dead_letters(
        self, before: int | None = None, limit: int = 100, chosen: DeadLetterFilter = EVERY
    ) -> list[StoredDeadLetter]:
        """See OutboxAdmin."""
        values = {**_asked(chosen), "before": LAST if before is None else before, "limit": limit}
        return [dead_letter_of(row) for row in self._read("newest_dead_letters", values)]

    def dead_letter(self, number: int) -> StoredDeadLetter | None:
        """See OutboxAdmin."""
        return next((dead_letter_of(row) for row in self._read("dead_letter", (number,))), None)

    def dead_letter_numbers(self, after: int = 0, limit: int = 1_000, chosen: DeadLetterFilter = EVERY) -> list[int]:
        """See OutboxAdmin."""
        values = {**_asked(chosen), "after": after, "limit": limit}
        return [number for (number,) in self._read("dead_letter_numbers", values)]

    def dead_letter_kinds(self, chosen: DeadLetterFilter = EVERY) -> list[Kind]:
        """See OutboxAdmin."""
        return [Kind(*row) for row in self._read("dead_letter_kinds", _asked(chosen))]

    def blocks(self, number: int) -> bool:
        """See OutboxAdmin."""
        return bool(self._read("blocked_by", (number,)))

    def pauses(self) -> list[Paused]:
        """See OutboxAdmin."""
        return [Paused(*row) for row in self._read("pauses", ())]

    def audit(self, before: int | None = None, limit: int = 100) -> list[Deed]:
        """See OutboxAdmin."""
        return [Deed(*row) for row in self._read("audit", (LAST if before is None else before, limit))]

    def ledger(self, before: int | None = None, limit: int = 100, chosen: LedgerFilter = EVERYTHING) -> list[LedgerRow]:
        """See OutboxAdmin."""
        return self._on(lambda connection: found(connection, LAST if before is None else before, limit, chosen))

    def _read(self, query: str, values: Values) -> list[Row]:
        return self._on(lambda connection: connection.execute(QUERIES[query], values).fetchall())

    def _on(self, look: Callable[[sqlite3.Connection], list[T]]) -> list[T]:
        if not self._path.is_file():
            raise OutboxError(f"there is no outbox file {self._path}; the bridge makes it when it runs")
        try:
            with closing(connect_reader(self._path)) as connection:
                check_version(connection, self._path)
                if not connection.execute("PRAGMA user_version").fetchone()[0]:
                    raise OutboxError(f"the file {self._path} holds no outbox yet; the bridge makes it when it runs")
                return look(connection)
        except sqlite3.Error as error:
            if is_transient(error):
                raise OutboxError(f"the outbox file {self._path} cannot be read now: {error}") from error
            raise corrupt(self._path, error) from error


def _asked(chosen: DeadLetterFilter) -> dict[str, int | str | bytes | None]:
    """The parameters of sql.CHOSEN."""
    text = chosen.text or None
    as_bytes = None if text is None else text.encode("utf-8", "surrogateescape")
    return {**chosen._asdict(), "text": None if text is None else plain(text.lower()), "bytes": as_bytes}
