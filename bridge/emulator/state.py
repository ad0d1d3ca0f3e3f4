"""The emulator's life on disk: every request that it was sent, in order. Carried out again they give the same state."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from bridge.emulator.asked import Asked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FILE = "requests.log"
FORMAT = 1


class StateUnusable(Exception):  # noqa: N818  it says what it is
    """The folder belongs to another emulator, or to one that was told other things; the text says which."""


class StateLog:
    """A file of its own for one running emulator. What was written survives the process, not the power.

    A line of JSON with the length of the body, then the body, for each request. Bodies may be secret (a token that is
    added from outside), so the file is for its owner alone.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], now_ms: int) -> None:
        """settings: what the answers depend on. now_ms: when its first life begins. Raises OSError, StateUnusable."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE
        self._settings = orjson.loads(orjson.dumps(settings))
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.began_ms, self._begins = self._header(now_ms)
        except BlockingIOError:
            self._file.close()
            raise StateUnusable(f"{self._path} belongs to an emulator that is running") from None
        except StateUnusable:
            self._file.close()
            raise

    def read(self) -> Iterator[Asked]:
        """Everything of earlier lives, then it is ready for more. What a kill left half written is cut off."""
        with self._path.open("rb") as file:
            file.seek(self._begins)
            end = self._begins
            while (asked := _next(file)) is not None:
                end = file.tell()
                yield asked
        self._file.truncate(end)
        self._file.seek(end)

    def append(self, asked: Asked) -> None:
        """Before it is carried out: an answer that was lost in a kill belongs to work that was done."""
        *fields, body = asked
        self._file.write(b"%b\n%b\n" % (orjson.dumps([len(body), *fields]), body))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _header(self, now_ms: int) -> tuple[int, int]:
        """When the first life began, and where the requests begin in the file."""
        with self._path.open("rb") as file:
            line = file.readline()
        if not line.endswith(b"\n"):
            line = orjson.dumps({"format": FORMAT, "began_ms": now_ms, "settings": self._settings}) + b"\n"
            self._file.truncate(0)
            self._file.write(line)
        header = orjson.loads(line)
        if header["format"] != FORMAT:
            raise StateUnusable(f"{self._path} has format {header['format']}, this emulator reads {FORMAT}")
        self._compare(header["settings"])
        return header["began_ms"], len(line)

    def _compare(self, settings: Mapping[str, Any]) -> None:
        names = sorted(self._settings.keys() | settings.keys())
        other = [name for name in names if self._settings.get(name) != settings.get(name)]
        if other:
            text = ", ".join(f"{name} was {orjson.dumps(settings.get(name)).decode()}" for name in other)
            raise StateUnusable(f"{self._path} was written with other settings: {text}")


def _next(file: BinaryIO) -> Asked | None:
    """The next request; None at the end, or where it is incomplete."""
    line = file.readline()
    if not line.endswith(b"\n"):
        return None
    length, time_ms, method, path, query, caller = orjson.loads(line)
    body = file.read(length + 1)
    return Asked(time_ms, method, path, query, caller, body[:length]) if len(body) == length + 1 else None
