"""Messages from files: one alone, or one a line, however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from bridge import recorded
from bridge.document import dotted
from bridge.errors import ConfigError, NotAMessage, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge.recorded import Recorded
    from bridge.rehearsal.stage import Sample

LONGEST_LINE = 64 << 20  # bytes


class Line(NamedTuple):
    """One line of a file."""

    number: int  # from 1
    end: int  # bytes up to its end
    recorded: Recorded


def one_message(text: bytes, file: str, complete: Callable[[Recorded], Sample]) -> Sample:
    """The message of a file that holds one. Raises ConfigError."""
    try:
        return complete(recorded.decode(text))
    except NotAMessage as error:
        hint = "; this file holds several, one a line: give one of them" if _several(text) else ""
        raise ConfigError([Problem(dotted(error.path), error.message + hint, file)]) from None


def _several(text: bytes) -> bool:
    first, _, rest = text.strip().partition(b"\n")
    try:
        recorded.decode(first)
    except NotAMessage:
        return False
    return bool(rest)


def lines(stream: BinaryIO, file: str) -> Iterator[Line]:
    """The messages of a file with one a line; empty lines count for nothing. Raises ConfigError at a wrong one."""
    number, end = 0, 0
    while text := stream.readline(LONGEST_LINE):
        number, end = number + 1, end + len(text)
        if len(text) == LONGEST_LINE and not text.endswith(b"\n"):
            raise ConfigError([Problem("", f"the line is longer than {LONGEST_LINE >> 20} MiB", file, number)])
        if text.isspace():
            continue
        try:
            yield Line(number, end, recorded.decode(text))
        except NotAMessage as error:
            raise ConfigError([Problem(dotted(error.path), error.message, file, number)]) from None
