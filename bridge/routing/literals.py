"""What a literal of CEL is worth: numbers with their bounds, strings and bytes with their escapes."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from bridge.routing.syntax import ExpressionError
from bridge.routing.values import INT_MAX, UINT_MAX, Uint

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPE = re.compile(
    r"\\(?:(?P<one>[abfnrtv\\?\"'`])|[xX](?P<hex>[0-9a-fA-F]{2})|u(?P<u4>[0-9a-fA-F]{4})"
    r"|U(?P<u8>[0-9a-fA-F]{8})|(?P<octal>[0-3][0-7]{2}))"
)
_ONE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SURROGATES = range(0xD800, 0xE000)
_UNICODE_MAX = 0x10FFFF


def number_of(word: str, text: str, position: int) -> int | Uint | float:
    """An int, Uint or float. An int may be INT_MAX + 1: the parser lets that stand after a minus only."""
    unsigned = word[-1] in "uU"
    digits = word[:-1] if unsigned else word
    if not digits.isdecimal() and not digits.lower().startswith("0x"):
        if unsigned:
            raise ExpressionError("a double cannot be unsigned", text, position)
        value = float(digits)
        if math.isinf(value):
            raise ExpressionError("this number is too large for a double", text, position)
        return value
    number = int(digits, 16 if digits.lower().startswith("0x") else 10) if len(digits) < 40 else UINT_MAX + 1  # noqa: PLR2004  longer than any
    if unsigned and number <= UINT_MAX:
        return Uint(number)
    if unsigned or number > INT_MAX + 1:
        raise ExpressionError("this number does not fit in 64 bits", text, position)
    return number


def string_of(raw: str, text: str, start: int) -> str:
    """The value of a string literal; ``start`` is where ``raw`` stands in ``text``."""
    if "\\" not in raw:
        return raw
    return "".join(piece if isinstance(piece, str) else chr(piece) for piece in _pieces(raw, text, start))


def bytes_of(raw: str, text: str, start: int) -> bytes:
    """The value of a bytes literal: octal and hexadecimal escapes are octets, the rest is UTF-8."""
    if "\\" not in raw:
        return raw.encode()
    return b"".join(
        piece.encode() if isinstance(piece, str) else bytes([piece])
        for piece in _pieces(raw, text, start, in_bytes=True)
    )


def _pieces(raw: str, text: str, start: int, *, in_bytes: bool = False) -> Iterator[str | int]:
    """Plain text as str, escapes that name a number as int."""
    position = 0
    while True:
        slash = raw.find("\\", position)
        if slash < 0:
            yield raw[position:]
            return
        yield raw[position:slash]
        match = _ESCAPE.match(raw, slash)
        if match is None:
            raise ExpressionError("this escape does not exist; a backslash is written \\\\", text, start + slash)
        kind = str(match.lastgroup)
        if kind == "one":
            yield _ONE.get(match[kind], match[kind])
        else:
            yield _code_point(kind, match[kind], in_bytes=in_bytes, place=(text, start + slash))
        position = match.end()


def _code_point(kind: str, digits: str, *, in_bytes: bool, place: tuple[str, int]) -> int:
    if in_bytes and kind in {"u4", "u8"}:
        raise ExpressionError("\\u and \\U are for strings, not for bytes", *place)
    value = int(digits, 8 if kind == "octal" else 16)
    if value in _SURROGATES or value > _UNICODE_MAX:
        raise ExpressionError("this is no Unicode character", *place)
    return value
