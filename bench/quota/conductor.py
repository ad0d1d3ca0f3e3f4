"""Time that several processes have in common: it stands still while any of them works, else goes to the next timer.

So a figure in that time does not depend on how busy the computer is. One process conducts; the others are its members,
see ``member``. A page of memory is shared: when time began and what it is now, written here, and a place for each
member, in which it keeps when its next timer runs out, or that it works. Whose timer is the first of all is woken by a
byte over a socket, and gives one back when it has nothing more to do.
"""

from __future__ import annotations

import math
import mmap
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BEGAN, NOW, FIRST = 0, 1, 2  # places of the page: Unix epoch seconds; seconds since then; of the first member
WORKS = -1.0  # in a member's place
MEMBERS = 16  # at most
PAGE, SOCKET = "time.page", "time.socket"  # in the folder that all know
LOOK_SECONDS = 0.0002  # of real time, between two looks at a member that works without having been woken
LONGEST_SECONDS = 60  # of real time, that a member may take to join, or to work


def page(path: Path) -> memoryview:
    """The page, shared with whoever else has it open."""
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 8 * (FIRST + MEMBERS))).cast("d")


class Conductor:
    """See the module's text. ``began``: Unix epoch seconds."""

    def __init__(self, place: Path, began: float) -> None:
        (place / PAGE).write_bytes(bytes(8 * (FIRST + MEMBERS)))
        self._page = page(place / PAGE)
        self._page[BEGAN] = began
        self._members: dict[int, socket.socket] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(place / SOCKET))
        self._listener.listen(MEMBERS)

    def close(self) -> None:
        """Leave the members to themselves: from now on each goes by the computer's clock."""
        for connection in (self._listener, *self._members.values()):
            connection.close()

    def play(self, members: int, seconds: float) -> None:
        """Let time pass, once so many have joined. Raises RuntimeError, OSError when one does not, or is gone."""
        self._let_in(members)
        while (now := min(seconds, self._first_due())) < seconds:
            self._page[NOW] = max(now, self._page[NOW])
            self._wake(now)

    def _let_in(self, members: int) -> None:
        self._listener.settimeout(LONGEST_SECONDS)
        while len(self._members) < members:
            connection, _ = self._listener.accept()
            connection.settimeout(LONGEST_SECONDS)
            self._members[connection.recv(1)[0]] = connection

    def _first_due(self) -> float:
        """When the first timer runs out, once nobody works."""
        end = time.monotonic() + LONGEST_SECONDS
        while True:
            due = min([self._page[FIRST + number] for number in self._members], default=math.inf)
            if due != WORKS:
                return due
            if time.monotonic() > end:
                raise RuntimeError("a process does not come to an end")
            time.sleep(LOOK_SECONDS)

    def _wake(self, now: float) -> None:
        """Let those work whose timers have run out."""
        woken = [member for number, member in self._members.items() if self._page[FIRST + number] <= now]
        with suppress(BrokenPipeError, ConnectionResetError):
            for member in woken:
                member.send(b"w")
            if all(member.recv(1) for member in woken):
                return
        raise RuntimeError("a process has ended before its time")
