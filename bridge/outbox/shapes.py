"""What calls of one rule have in common, stored once in the SQLite outbox, and forgotten when nothing refers to it.

Used by the writer's thread alone, but for ``known``, which the event loop reads entries by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.outbox.sql import QUERIES

if TYPE_CHECKING:
    import sqlite3

    from bridge.outbox.rows import Shape

ROOM = 1_000  # shapes that may be there beyond twice those that were in use when somebody last looked


class Shapes:
    """The table of shapes and its copy in memory.

    A rule has a shape for each configuration that it was part of, and for each workflow that it names by a template. So
    the table is looked through once it has doubled: that reads all entries, and costs little per shape that is made.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.known: dict[int, Shape] = {}
        self._numbers: dict[Shape, int] = {}
        self._last = 0  # a number is never given twice by one process, not even that of a transaction rolled back
        self._limit = ROOM
        self._forgotten: list[int] = []

    def load(self) -> None:
        """Read the table: at the start, and anew after a transaction was rolled back.

        ``known`` stays the same mapping: whoever reads by it finds what the next transaction brings before being told.
        """
        stored = self._connection.execute(QUERIES["shapes"]).fetchall()
        self._numbers.clear()
        for number, *shape in stored:
            self._adopt(number, (*shape,))
        self._last = max(self._last, *self.known, 0)
        self._forgotten = [*self.known.keys() - self._numbers.values()]

    def number_of(self, shape: Shape) -> int:
        """The number of a shape, which is stored if it is new."""
        number = self._numbers.get(shape)
        if number is None:
            self._last = number = self._last + 1
            self._connection.execute(QUERIES["insert_shape"], (number, *shape))
            self._adopt(number, shape)
        return number

    def _adopt(self, number: int, shape: Shape) -> None:
        self.known[number] = shape
        self._numbers[shape] = number

    def prune(self) -> bool:
        """Forget shapes that no entry has, where there are many; returns whether any were forgotten.

        To be called when all entries of the transaction are written. The event loop may still be reading entries as
        they were before: what is forgotten here leaves ``known`` at the next time.
        """
        if len(self._numbers) <= self._limit:
            return False
        for number in self._forgotten:
            self.known.pop(number, None)
        used = {number for (number,) in self._connection.execute(QUERIES["shapes_used"])}
        self._numbers = {shape: number for shape, number in self._numbers.items() if number in used}
        self._forgotten = [number for number in self.known if number not in used]
        self._connection.executemany(QUERIES["delete_shape"], [(number,) for number in self._forgotten])
        self._limit = 2 * len(used) + ROOM
        return bool(self._forgotten)
