"""Reads AMQP 0-9-1 field tables, whatever a publisher put into them; what a message does with them is not here.

The client's decoder gives up a whole table for one value that it cannot read, and follows nesting until Python's stack
ends. Here a value that makes no sense stands for itself, and what cannot be read is left out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from struct import Struct
from struct import error as StructError  # noqa: N812  a class, named like one
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH = Struct(">I")
SCALED = Struct(">BI")  # places after the point, digits
MAX_DEPTH = 50  # tables and lists within each other; deeper ones stay bytes
MILLISECONDS_FROM = 100_000_000_000  # larger timestamps are milliseconds: as seconds they lie beyond the year 5000
LAST_MS = 253_402_300_799_999  # the end of the year 9999


def timestamp_ms(value: int) -> int | None:
    """Seconds by the specification; many publishers write milliseconds. None: past the year 9999, so no time at all."""
    milliseconds = value if value >= MILLISECONDS_FROM else value * 1000
    return milliseconds if milliseconds <= LAST_MS else None


def table(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    """The table that begins at ``at`` with its length, and where the next thing begins. Raises ValueError."""
    try:
        (length,) = LENGTH.unpack_from(data, at)
    except StructError as error:
        raise ValueError("a table has no length") from error
    at += LENGTH.size
    end = at + length
    return _fields(data, at, min(end, len(data)), 0), end


def _fields(data: bytes, at: int, end: int, depth: int) -> dict[str, Any]:
    """Names and values up to the first that has no readable size."""
    found: dict[str, Any] = {}
    try:
        while at < end:
            start, at = at + 1, at + 1 + data[at]
            name = data[start:at].decode("utf-8", "backslashreplace")
            found[name], at = _value(data, at, end, depth)
    except (ValueError, IndexError, StructError):
        pass  # where the next value begins is not known either
    return found


def _items(data: bytes, at: int, end: int, depth: int) -> list[Any]:
    found = []
    try:
        while at < end:
            value, at = _value(data, at, end, depth)
            found.append(value)
    except (ValueError, IndexError, StructError):
        pass  # where the next value begins is not known either
    return found


def _value(data: bytes, at: int, end: int, depth: int) -> tuple[Any, int]:
    """The value whose type stands at ``at``, and where the next thing begins; nothing is read past ``end``."""
    kind = data[at]
    at += 1
    fixed = _FIXED.get(kind)
    if fixed is not None:
        layout, convert = fixed
        after = at + layout.size
        _check(after, end)
        value = layout.unpack_from(data, at)
        return (convert(*value) if convert else value[0]), after
    if kind in _EMPTY:
        return None, at
    read = _SIZED.get(kind)
    if read is None:
        raise ValueError("a value of unknown type")
    start = at + LENGTH.size
    after = start + LENGTH.unpack_from(data, at)[0]
    _check(after, end)
    return (read(data, start, after, depth + 1) if depth < MAX_DEPTH else data[start:after]), after


def _check(after: int, end: int) -> None:
    if after > end:
        raise ValueError("a value is longer than what it is in")


def _text(data: bytes, at: int, end: int, _depth: int) -> str | bytes:
    try:
        return data[at:end].decode()
    except UnicodeDecodeError:
        return data[at:end]


def _bytes(data: bytes, at: int, end: int, _depth: int) -> bytes:
    return data[at:end]


def _moment(value: int) -> datetime | int:
    """The number itself where it is no time."""
    milliseconds = timestamp_ms(value)
    return value if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def _scaled(places: int, digits: int) -> Decimal:
    return Decimal(digits).scaleb(-places)


# By the letter of the type, as RabbitMQ and its clients use them (https://www.rabbitmq.com/amqp-0-9-1-errata, 3).
_FIXED: dict[int, tuple[Struct, Callable[..., Any] | None]] = {
    ord("t"): (Struct(">?"), None),
    ord("b"): (Struct(">b"), None),
    ord("B"): (Struct(">B"), None),
    ord("s"): (Struct(">h"), None),
    ord("u"): (Struct(">H"), None),
    ord("I"): (Struct(">i"), None),
    ord("i"): (Struct(">I"), None),
    ord("l"): (Struct(">q"), None),
    ord("L"): (Struct(">q"), None),
    ord("f"): (Struct(">f"), None),
    ord("d"): (Struct(">d"), None),
    ord("D"): (SCALED, _scaled),
    ord("T"): (Struct(">Q"), _moment),
}
_SIZED: dict[int, Callable[[bytes, int, int, int], Any]] = {
    ord("S"): _text,
    ord("x"): _bytes,
    ord("F"): _fields,
    ord("A"): _items,
}
_EMPTY = frozenset({ord("V"), 0})
