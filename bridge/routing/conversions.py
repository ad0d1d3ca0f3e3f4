"""CEL's conversions between types; each raises RuleError where the value has no counterpart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridge.errors import RuleError
from bridge.routing.times import (
    SECOND,
    checked_timestamp,
    format_duration,
    format_timestamp,
    parse_duration,
    parse_timestamp,
)
from bridge.routing.values import (
    INT_MAX,
    INT_MIN,
    TYPES,
    UINT_MAX,
    Duration,
    Timestamp,
    Type,
    Uint,
    Value,
    type_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_INTEGER = re.compile(r"[+-]?\d{1,30}", re.ASCII)
_DOUBLE = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)
_TRUE, _FALSE = frozenset(("1", "t", "true", "TRUE", "True")), frozenset(("0", "f", "false", "FALSE", "False"))
_LONGEST_NUMBER = 1000


def _cannot(target: str, value: Value) -> RuleError:
    return RuleError(f"{target}() is not defined for {type_name(value)}")


def to_int(value: Value) -> int:
    """``int(x)``: doubles are cut toward zero, a timestamp gives its seconds."""
    kind = type(value)
    if kind is float:
        # Both ends are out: the doubles next to them cannot be told from what does not fit.
        if not INT_MIN < value < INT_MAX:
            raise RuleError("this double does not fit in an int")
        return int(value)
    if kind is Timestamp:
        return int(value.ns // SECOND)
    return _integer("int", value, INT_MIN, INT_MAX)


def to_uint(value: Value) -> Uint:
    """``uint(x)``."""
    if type(value) is float:
        if not 0 <= value < UINT_MAX:
            raise RuleError("this double does not fit in a uint")
        return Uint(int(value))
    return Uint(_integer("uint", value, 0, UINT_MAX))


def _integer(target: str, value: Value, low: int, high: int) -> int:
    kind = type(value)
    if kind is str:
        if not _INTEGER.fullmatch(value):
            raise RuleError(f"this string is no {target}")
    elif kind is not int and kind is not Uint:
        raise _cannot(target, value)
    number = int(value)
    if not low <= number <= high:
        raise RuleError(f"this number does not fit in {'an' if target == 'int' else 'a'} {target}")
    return number


def to_double(value: Value) -> float:
    """``double(x)``."""
    kind = type(value)
    if kind is float or kind is int or kind is Uint:
        return float(value)
    if kind is str:
        if len(value) > _LONGEST_NUMBER or not _DOUBLE.fullmatch(value):
            raise RuleError("this string is no double")
        return float(value)
    raise _cannot("double", value)


def to_string(value: Value) -> str:
    """``string(x)``: bytes must be UTF-8; null, lists and maps have no text (``json(x)`` gives theirs)."""
    text = _TEXTS.get(type(value))
    if text is None:
        raise _cannot("string", value)
    return text(value)


def double_text(value: float) -> str:
    """The shortest text that gives the same double; an integral one has no ``.0``."""
    return repr(value).removesuffix(".0")


def _utf8(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise RuleError("these bytes are no UTF-8 text") from None


_TEXTS: dict[type, Callable[[Value], str]] = {
    str: str,
    bool: lambda value: "true" if value else "false",
    int: str,
    Uint: lambda value: str(int(value)),
    float: double_text,
    bytes: _utf8,
    Timestamp: format_timestamp,
    Duration: format_duration,
}


def to_bytes(value: Value) -> bytes:
    """``bytes(x)``: a string as UTF-8."""
    if type(value) is bytes:
        return bytes(value)
    if type(value) is str:
        return value.encode("utf-8", "surrogatepass")
    raise _cannot("bytes", value)


def to_bool(value: Value) -> bool:
    """``bool(x)``."""
    if type(value) is bool:
        return value
    if type(value) is str and value in _TRUE | _FALSE:
        return value in _TRUE
    raise RuleError("this string is no bool") if type(value) is str else _cannot("bool", value)


def to_timestamp(value: Value) -> Timestamp:
    """``timestamp(x)``: RFC 3339 text, or seconds since the Unix epoch."""
    if type(value) is Timestamp:
        return value
    if type(value) is str:
        return parse_timestamp(value)
    if type_name(value) == "int":
        return checked_timestamp(value * SECOND)
    raise _cannot("timestamp", value)


def to_duration(value: Value) -> Duration:
    """``duration(x)``."""
    if type(value) is Duration:
        return value
    if type(value) is str:
        return parse_duration(value)
    raise _cannot("duration", value)


def to_type(value: Value) -> Type:
    """``type(x)``."""
    return TYPES[type_name(value)]


def to_dyn(value: Value) -> Value:
    """``dyn(x)``: the value itself."""
    return value
