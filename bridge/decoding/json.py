"""JSON bodies, with every integer exact.

orjson turns an integer beyond 64 bits into a float without a word, so ``decode_json`` looks for runs of digits that
are long enough. Almost no body has one, and finding that out is one pass of ``translate`` and one of ``find``.
Of keys that occur twice in one object the last wins; a lone surrogate, NaN, Infinity, a byte order mark, a number
beyond the range of a double and more than 1,024 levels are refused.
"""

from __future__ import annotations

import re

import orjson

from bridge.errors import Undecodable

LOWEST, HIGHEST = -(2**63), 2**64 - 1  # what CEL's int and uint can hold

# Every digit becomes "0", a minus sign stays, all else becomes a space.
_SHAPE = bytes(ord("0" if chr(byte) in "0123456789" else "-" if chr(byte) == "-" else " ") for byte in range(256))
_LONG = b"0" * 19  # no integer with fewer digits can be out of range …
_LONGER = b"0" * 20  # … nor a positive one with fewer than these
_LONG_NEGATIVE = b"-" + _LONG
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|(-?[0-9]+)([.eE][0-9.eE+-]*)?')


def decode_json(body: bytes | None) -> object:
    """The value of a JSON text; integers are exact from -2^63 to 2^64-1. Raises Undecodable."""
    if body is None:
        return None
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # from None: the original error carries the body
        raise Undecodable(f"not JSON: {error.msg} at character {error.pos}") from None
    shape = body.translate(_SHAPE)
    # find, not ``in``: the latter first tries its operand as an integer, which costs more than the search.
    if shape.find(_LONG) >= 0 and (shape.find(_LONGER) >= 0 or shape.find(_LONG_NEGATIVE) >= 0):
        _refuse_big_integers(body)
    return value


def _refuse_big_integers(body: bytes) -> None:
    """Look at every number outside of strings; ``body`` is valid JSON."""
    for token in _TOKEN.finditer(body):
        digits, rest = token.groups()
        if digits and not rest and not LOWEST <= int(digits) <= HIGHEST:
            raise Undecodable(f"an integer beyond 64 bits at byte {token.start()}; send it as a string")
