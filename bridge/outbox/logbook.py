"""What operators did to a bridge with an SQLite outbox, and what they have paused: as tables of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.outbox.overview import Deed, Paused
from bridge.outbox.sql import QUERIES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

DEEDS_KEPT = 10_000  # the newest; older ones are only in the log


class Logbook:
    """Used by the writer's thread alone, inside a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def note(self, at_ms: int, who: str, what: str, subject: str, detail: str) -> None:
        """Somebody did this."""
        self._connection.execute(QUERIES["insert_audit"], (at_ms, who, what, subject, detail))
        self._connection.execute(QUERIES["forget_audit"], (DEEDS_KEPT,))

    def pause(self, paused: Paused) -> None:
        """It is paused from now on, for this reason."""
        self._connection.execute(QUERIES["store_pause"], paused)

    def resume(self, kind: str, name: str) -> bool:
        """It is not paused any more; whether it was."""
        return self._connection.execute(QUERIES["delete_pause"], (kind, name)).rowcount > 0

    def pauses(self) -> Sequence[Paused]:
        """All of them."""
        return [Paused(*row) for row in self._connection.execute(QUERIES["pauses"]).fetchall()]

    def deeds(self, before: int, limit: int) -> Sequence[Deed]:
        """The last first, with a number below ``before``."""
        return [Deed(*row) for row in self._connection.execute(QUERIES["audit"], (before, limit)).fetchall()]
