"""What operators ask of an SQLite outbox: beside a running bridge or without one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from bridge.errors import OutboxError
from bridge.outbox.dead_rows import dead_letter_of
from bridge.outbox.file import check_version, connect_reader, corrupt, is_transient
from bridge.outbox.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bridge.outbox.base import StoredDeadLetter
    from bridge.outbox.rows import Row


class SqliteOutboxAdmin:
    """An ``OutboxAdmin``; takes no lock. Raises OutboxError where the file cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def dead_letters(self, after: int = 0, limit: int = 100) -> Sequence[StoredDeadLetter]:
        """See OutboxAdmin."""
        return [dead_letter_of(row) for row in self._read("dead_letters", (after, limit))]

    def dead_letter(self, number: int) -> StoredDeadLetter | None:
        """See OutboxAdmin."""
        return next((dead_letter_of(row) for row in self._read("dead_letter", (number,))), None)

    def release(self, number: int) -> bool:
        """The dead letter blocks its lane no longer; False where it blocked none. See ``_wish``."""
        if not self._read("is_blocked", (number,)):
            return False
        self._wish(number, "release")
        return True

    def discard(self, number: int) -> bool:
        """The dead letter is gone, with what it blocked; False where there is none. See ``_wish``."""
        if self.dead_letter(number) is None:
            return False
        self._wish(number, "discard")
        return True

    def is_fulfilled(self) -> bool:
        """Whether everything wished for is done."""
        return not self._read("is_wished", ())

    def _wish(self, number: int, what: str) -> None:
        """Write it down; the process that owns the file does it within a second, else the next one when it starts.

        Raises OutboxError where the file cannot be written.
        """
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(QUERIES["insert_wish"], (number, what))
        except sqlite3.Error as error:
            raise OutboxError(f"the outbox file {self._path} cannot be written now: {error}") from error

    def _read(self, query: str, values: tuple[int, ...]) -> list[Row]:
        if not self._path.is_file():
            raise OutboxError(f"there is no outbox file {self._path}; the bridge makes it when it runs")
        try:
            with closing(connect_reader(self._path)) as connection:
                check_version(connection, self._path)
                if not connection.execute("PRAGMA user_version").fetchone()[0]:
                    raise OutboxError(f"the file {self._path} holds no outbox yet; the bridge makes it when it runs")
                return connection.execute(QUERIES[query], values).fetchall()
        except sqlite3.Error as error:
            if is_transient(error):
                raise OutboxError(f"the outbox file {self._path} cannot be read now: {error}") from error
            raise corrupt(self._path, error) from error
