"""A few numbers in a file that a bridge's process writes and the harness reads, also after the process was killed."""

from __future__ import annotations

import mmap
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CELL = Struct("<q")
STEPS = (
    "",
    "after_fetch",
    "after_transaction",
    "before_ack",
    "after_ack",
    "before_request",
    "after_answer",
    "before_settle",
    "start_up",
    "stop",
)


class Cell(IntEnum):
    """What each number is."""

    ARMED = 0  # index of the step at which the process is to kill itself; 0: at none
    PASSES = 1  # how often it may go by before
    STRUCK = 2  # index of the step at which it did
    EVENTS = 3  # events begun and neither settled nor given back
    CREATES = 4  # the same, of creates
    UNACKNOWLEDGED = 5  # messages given out by sources and not acknowledged
    RETURNED = 6  # the same, counted up at each moment at which a broker gives them to somebody else
    UNKNOWN_EVENTS = 7  # requests whose outcome the bridge was not told, counted up
    UNKNOWN_CREATES = 8  # instances in such requests, counted up
    UNKNOWN_OTHERS = 9


class Board:
    """Survives both of its users: the numbers are pages of a file."""

    def __init__(self, path: Path) -> None:
        size = CELL.size * len(Cell)
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._cells = mmap.mmap(file.fileno(), size)

    def __getitem__(self, cell: Cell) -> int:
        value: int = CELL.unpack_from(self._cells, cell * CELL.size)[0]
        return value

    def __setitem__(self, cell: Cell, value: int) -> None:
        CELL.pack_into(self._cells, cell * CELL.size, value)

    def add(self, cell: Cell, count: int) -> None:
        """By one writer at a time."""
        self[cell] += count

    def arm(self, step: str, passes: int = 0) -> None:
        """Let the process kill itself when it has gone by this step so often."""
        self[Cell.STRUCK], self[Cell.PASSES] = 0, passes
        self[Cell.ARMED] = STEPS.index(step)

    def disarm(self) -> str:
        """The step at which it killed itself; "" where it did not."""
        self[Cell.ARMED] = 0
        return STEPS[self[Cell.STRUCK]]
