"""The journal on disk: one line of JSON a record, readable from any of them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

STRIDE = 1_000  # records between two places that are remembered


class JournalFile:
    """Appends, and reads again what was appended since it was opened, or all of it when it is resumed."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        """resume: what the file holds are this journal's first records. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._places: list[int] = []  # where records 1, 1 + STRIDE, 1 + 2 * STRIDE … begin
        self._count = 0
        self._end = 0
        if resume and path.exists():
            self._scan()
        self._file = path.open("ab", buffering=0)
        if not resume:
            self._end = self._file.tell()

    def _scan(self) -> None:
        with self._path.open("r+b") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # a kill came between
                self._note(len(line))
            file.truncate(self._end)

    def _note(self, size: int) -> None:
        if self._count % STRIDE == 0:
            self._places.append(self._end)
        self._count += 1
        self._end += size

    def add(self, number: int, record: object) -> None:
        """Append record ``number``, a dataclass or a mapping, unless it is there already."""
        if number <= self._count:
            return
        line = orjson.dumps(record) + b"\n"
        self._file.write(line)
        self._note(len(line))

    def page(self, after: int, limit: int) -> Sequence[dict[str, Any]]:
        """Records with ``number > after``, at most ``limit``."""
        if after >= self._count:
            return []
        with self._path.open("rb") as file:
            file.seek(self._places[after // STRIDE])
            skip = after % STRIDE
            lines = islice(file, skip, skip + min(limit, self._count - after))
            return [orjson.loads(line) for line in lines]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
