"""Which instance of a used id is the newest (``if_exists: new``), in the SQLite outbox; each is forgotten one day.

What is too old is deleted a few rows at a time, by whatever transaction comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.outbox.base import Queue
from bridge.outbox.sql import QUERIES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

    from bridge.outbox.base import Settlement
    from bridge.outbox.state import State

DAY_MS = 86_400_000
PRUNED_ROWS = 100  # by one transaction at most


class Generations:
    """Used by the writer's thread alone, inside a transaction. days: that each is kept; 0: for ever."""

    def __init__(self, connection: sqlite3.Connection, state: State, days: int) -> None:
        self._connection = connection
        self._state = state
        self._days = days
        self._oldest_ms = self._find_oldest()  # None: there is nothing

    def settled(self, settlements: Collection[Settlement]) -> None:
        """Instances under another id than their call's become the newest; a new one under its own id ends that."""
        if not (self._state.renewed or any([settlement[8] for settlement in settlements])):  # noqa: C419  faster
            return
        renewed, created = [], []
        for settlement in settlements:
            name = (*settlement.entry.scope, settlement.entry.instance_id)
            if settlement.generation:
                renewed.append((*name, settlement.generation, settlement.settled_ms))
            elif settlement.reason == "created":
                created.append(name)
        self._connection.executemany(QUERIES["forget_newest"], created)
        self._connection.executemany(QUERIES["store_newest"], renewed)
        self._state.renew(Queue(target, workflow) for target, workflow, *_ in renewed)
        if renewed and self._oldest_ms is None:
            self._oldest_ms = renewed[0][-1]

    def prune(self, now_ms: int) -> None:
        """Let go of some of what is too old; once, near the end of a transaction."""
        if not self._days or self._oldest_ms is None or self._oldest_ms >= (limit_ms := now_ms - self._days * DAY_MS):
            return
        self._connection.execute(QUERIES["prune_newest"], (limit_ms, PRUNED_ROWS))
        self._oldest_ms = self._find_oldest()

    def _find_oldest(self) -> int | None:
        row = self._connection.execute(QUERIES["oldest_newest"]).fetchone()
        return None if row is None else int(row[0])
