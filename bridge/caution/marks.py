"""The file in which a process says what it is at work on: read by the next one, after a death.

Written before and after each batch, with one call of the system, and never synced: what a process has written outlives
it, whatever kills it. Only the machine's own death loses it, and that is no message's doing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import orjson

from bridge.caution.suspects import NOBODY, Suspects, Work

if TYPE_CHECKING:
    from pathlib import Path


class Mark(NamedTuple):
    """What the file says: whom this process suspects, and what it is at work on."""

    suspects: Suspects
    work: Work | None


def encode(mark: Mark) -> bytes:
    """One line; what stands behind it is of an older, longer one."""
    positions, names, deaths, killers = mark.suspects
    work = None if mark.work is None else tuple(mark.work)
    return orjson.dumps(((positions, sorted(names), deaths, killers), work), option=orjson.OPT_APPEND_NEWLINE)


def decode(text: bytes) -> Mark | None:
    """None where it is not whole."""
    line, end, _ = text.partition(b"\n")
    with suppress(ValueError, TypeError):
        suspects, work = orjson.loads(line)
        positions, names, deaths, killers = suspects
        known = Suspects(positions, frozenset(names), deaths, tuple(killers))
        return Mark(known, None if work is None else Work(*work)) if end else None
    return None


class MarkFile:
    """One source's. Raises OSError where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)

    def read(self) -> Mark:
        """What the last process left; nothing where it left nothing that can be read."""
        text = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        return decode(text) or Mark(NOBODY, None)

    def write(self, line: bytes) -> None:
        """Instead of what is there."""
        os.pwrite(self._fd, line, 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
