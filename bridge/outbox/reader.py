"""Reads of the SQLite outbox that need no turn of the writer: on a connection of their own, in the event loop."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from bridge.errors import OutboxError
from bridge.outbox.file import connect_reader
from bridge.outbox.later import queue_range
from bridge.outbox.sql import QUERIES

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.outbox.base import Queue
    from bridge.outbox.rows import Row


class Reader:
    """Sees what was committed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect_reader(path)

    def pending(self, number: int, after: int, limit: int) -> list[Row] | None:
        """Rows of one queue in order; None where they cannot be read: the writer knows what to do about it."""
        try:
            return self._connection.execute(QUERIES["pending"], (*queue_range(number, after), limit)).fetchall()
        except sqlite3.Error:
            return None

    def newest(self, workflow: Queue, instance_id: str) -> str | None:
        """Under which id the newest instance was made, if there is one under another id."""
        try:
            row = self._connection.execute(QUERIES["newest"], (*workflow, instance_id)).fetchone()
        except sqlite3.Error as error:
            raise OutboxError(f"the outbox file {self._path} cannot be read: {error}") from error
        return None if row is None else str(row[0])

    def is_wished(self) -> bool:
        """Whether an operator wants something done; False where that cannot be read now."""
        try:
            return self._connection.execute(QUERIES["is_wished"]).fetchone() is not None
        except sqlite3.Error:
            return False

    def notes(self) -> dict[str, str]:
        """All of them."""
        return dict(self._connection.execute(QUERIES["notes"]).fetchall())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
