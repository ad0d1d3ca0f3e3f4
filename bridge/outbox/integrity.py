"""Whether an outbox file is whole: a look at each start, which takes a bounded time, and the whole check, on demand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from bridge.errors import OutboxError
from bridge.outbox.file import check_version, connect_reader, is_corrupt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_FAULTS = 100  # told of one file


class WholeCheck:
    """Of the file of a running bridge too: it only reads. ``run`` may be interrupted from another thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self.faults: Sequence[str] = ()  # what was found; nothing: the file is whole
        self.failure: OutboxError | None = None  # why nothing can be said

    def run(self) -> None:
        """Read every page and every row, and compare the indexes with them."""
        if not self._path.is_file():
            self.failure = OutboxError(f"there is no outbox file {self._path}; the bridge makes it when it runs")
            return
        try:
            with closing(connect_reader(self._path)) as self._connection:
                check_version(self._connection, self._path)
                found = self._connection.execute(f"PRAGMA integrity_check({MOST_FAULTS})").fetchall()
                self.faults = [row[0] for row in found if row[0] != "ok"]
        except sqlite3.Error as error:
            if is_corrupt(error):
                self.faults = [str(error)]
            else:
                self.failure = OutboxError(f"the outbox file {self._path} cannot be read now: {error}")
        except OutboxError as error:
            self.failure = error

    def interrupt(self) -> None:
        """End it soon; it has then found nothing out."""
        if self._connection is not None:
            self._connection.interrupt()
