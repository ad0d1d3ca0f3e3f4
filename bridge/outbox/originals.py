"""The messages that waiting entries of an SQLite outbox came from, for those who tell of requests."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

import orjson

from bridge.outbox.dead_rows import body_of
from bridge.outbox.file import connect_reader
from bridge.outbox.rows import message_of
from bridge.outbox.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bridge.message import Message
    from bridge.outbox.base import Entry


class Originals:
    """Reads on a connection of its own, in the caller's thread: one query for however many entries."""

    def __init__(self, path: Path) -> None:
        """path: of an outbox that is open before the first question."""
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def __call__(self, entries: Sequence[Entry]) -> list[Message]:
        """Those of these entries whose messages can be read now; without their keys."""
        by_seq = {entry.seq: entry for entry in entries}
        with suppress(sqlite3.Error):
            if self._connection is None:
                self._connection = connect_reader(self._path)
            rows = self._connection.execute(QUERIES["originals"], (orjson.dumps(list(by_seq)),)).fetchall()
            return [
                message_of((entry := by_seq[seq]).source, entry.message_id, None, body_of(entry, body, size), rest)
                for seq, body, size, rest in rows
            ]
        return []

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
