"""Reads of the SQLite outbox that need no turn of the writer: on a connection of their own, in the event loop."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from bridge.errors import OutboxError
from bridge.outbox.base import AWAY_MS
from bridge.outbox.file import connect_reader
from bridge.outbox.sifting import queue_range, sift
from bridge.outbox.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bridge.outbox.base import Queue
    from bridge.outbox.rows import Row, Shape

# Rows of a queue with held lanes that are looked at here, in the event loop: what comes at a low load. Each may be a
# read of the disk, so more of them are the writer's.
_SIFTED = 64


class Reader:
    """Sees what was committed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect_reader(path)

    def pending(self, number: int, after: int, limit: int) -> Sequence[Row] | None:
        """Rows of one queue in order; None where they cannot be read: the writer knows what to do about it."""
        try:
            return self._connection.execute(QUERIES["pending"], (*queue_range(number, after), limit)).fetchall()
        except sqlite3.Error:
            return None

    def pending_of_held(self, number: int, after: int, limit: int, shapes: Mapping[int, Shape]) -> Sequence[Row] | None:
        """The same of a queue in which lanes are held; None also where a row is held back, or where there are many."""
        size = min(limit, _SIFTED)
        rows = self.pending(number, after, size)
        if rows is None or len(rows) == size < limit:
            return None
        try:
            sifted = sift(self._connection, rows, shapes, limit)
        except sqlite3.Error:
            return None
        return None if sifted.held else rows

    def newest(self, workflow: Queue, instance_id: str) -> str | None:
        """Under which id the newest instance was made, if there is one under another id."""
        try:
            row = self._connection.execute(QUERIES["newest"], (*workflow, instance_id)).fetchone()
        except sqlite3.Error as error:
            raise OutboxError(f"the outbox file {self._path} cannot be read: {error}") from error
        return None if row is None else str(row[0])

    def is_parked(self, instance_ids: bytes) -> bool:
        """Whether something may be parked for one of these (a JSON array); True where that cannot be read."""
        try:
            return self._connection.execute(QUERIES["is_parked"], (instance_ids, AWAY_MS)).fetchone() is not None
        except sqlite3.Error:
            return True

    def notes(self) -> dict[str, str]:
        """All of them."""
        return dict(self._connection.execute(QUERIES["notes"]).fetchall())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
