"""What one source's reader asks before it looks into messages, and tells before and after."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from bridge.caution.marks import Mark, MarkFile, encode
from bridge.caution.suspects import DEATHS, NOBODY, Part, after, buried, parts, passed, work_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.sources.base import Batch

log = structlog.get_logger(__name__)


class Caution:
    """See ``suspects`` for what it does. path: of the file; None: nothing is remembered, and nobody suspected."""

    def __init__(self, source: str, path: Path | None) -> None:
        self._source = source
        self._path = path
        self._file: MarkFile | None = None
        self._suspects = NOBODY
        self._idle = b""  # what the file says while nothing is worked on

    def open(self) -> None:
        """Read what the last process left. Where the file cannot be used, that is said, and work goes on without."""
        if self._path is None:
            return
        try:
            self._file = MarkFile(self._path)
            mark = self._file.read()
        except OSError as error:
            self._give_up(error)
            return
        self._suspects = after(mark.suspects, mark.work)
        if mark.work is not None:
            log.warning("process_died_at_work", source=self._source, deaths=self._suspects.deaths,
                        one_by_one=self._suspects.deaths >= DEATHS, killers=list(self._suspects.killers))  # fmt: skip
        self._rest()

    def close(self) -> None:
        """Let go of the file; what it says stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def parts(self, batch: Batch) -> Iterator[Part]:
        """The batch as one, or in the pieces in which it is to be taken, in its order."""
        return parts(self._suspects, batch.messages, batch.positions)

    @contextmanager
    def at_work(self, part: Part) -> Iterator[None]:
        """Whoever dies in here, died on this. Nothing may wait in here: the death would be anybody's."""
        if self._file is None:
            yield
            return
        self._write(encode(Mark(self._suspects, work_on(part))))
        try:
            yield
        finally:
            self._write(self._idle)

    def through(self, part: Part) -> None:
        """The outbox has it."""
        if self._suspects is not NOBODY:
            self._suspects = passed(self._suspects, part.messages, part.positions)
            self._rest()

    def safe(self, part: Part) -> None:
        """Its receipt has resolved. A killer whose dead letter is safe need not be known any more."""
        if part.kills:
            self._suspects = buried(self._suspects, part.messages[0])
            self._rest()

    def _rest(self) -> None:
        if self._suspects == NOBODY:
            self._suspects = NOBODY
        self._idle = encode(Mark(self._suspects, None))
        self._write(self._idle)

    def _write(self, line: bytes) -> None:
        if self._file is None:
            return
        try:
            self._file.write(line)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        log.warning("marks_unavailable", source=self._source, path=str(self._path), error=error.strerror)
        self.close()
