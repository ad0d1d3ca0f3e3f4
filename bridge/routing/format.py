"""CEL's ``"…%s…".format([…])``."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from bridge.errors import RuleError
from bridge.routing.conversions import double_text, to_bytes, to_string
from bridge.routing.values import Type, Uint, Value, type_name

if TYPE_CHECKING:
    from collections.abc import Callable

_CLAUSE = re.compile(r"%(?:%|(?:\.(\d{1,3}))?([sdfeobxX])|(.?))", re.DOTALL)
_DEFAULT_DIGITS = 6
_MOST_DIGITS = 100


def format_text(target: Value, arguments: Value) -> str:
    """``target.format([…])``."""
    if type(target) is not str or type(arguments) is not list:
        raise RuleError(f"format is not defined for {type_name(target)} and {type_name(arguments)}")
    rest = iter(arguments)

    def clause(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if match[2] is None:
            raise RuleError("format: there is a % without a clause")
        value = next(rest, rest)
        if value is rest:
            raise RuleError("format: there are more clauses than values")
        return _formatted(match[2], value, _DEFAULT_DIGITS if match[1] is None else int(match[1]))

    return _CLAUSE.sub(clause, target)


def _formatted(kind: str, value: Value, digits: int) -> str:
    if digits > _MOST_DIGITS:
        raise RuleError(f"format: at most {_MOST_DIGITS} digits")
    if kind in "fe":
        return _real(kind, value, digits)
    return _CLAUSES[kind](value)


def _real(kind: str, value: Value, digits: int) -> str:
    if type(value) not in {int, float, Uint}:
        raise _wrong(kind, value)
    if type(value) is float and not math.isfinite(value):
        return _any_text(value)
    return f"{value:.{digits}{kind}}"


def _wrong(kind: str, value: Value) -> RuleError:
    return RuleError(f"format: %{kind} is not defined for {type_name(value)}")


def _any_text(value: Value) -> str:
    if value is None:
        return "null"
    if type(value) is float:
        names = {math.inf: "Infinity", -math.inf: "-Infinity"}
        return "NaN" if math.isnan(value) else names.get(value) or double_text(value)
    if type(value) is list:
        return f"[{', '.join(map(_any_text, value))}]"
    if type(value) is dict:
        pairs = sorted((_any_text(key), _any_text(item)) for key, item in value.items())
        return f"{{{', '.join(f'{key}: {item}' for key, item in pairs)}}}"
    return value.name if type(value) is Type else to_string(value)


def _decimal(value: Value) -> str:
    if type(value) is float and not math.isfinite(value):
        return _any_text(value)
    if type(value) not in {int, Uint, float}:
        raise _wrong("d", value)
    return to_string(value)


def _binary(value: Value) -> str:
    if type(value) not in {int, Uint, bool}:
        raise _wrong("b", value)
    return f"{int(value):b}"


def _octal(value: Value) -> str:
    if type(value) not in {int, Uint}:
        raise _wrong("o", value)
    return f"{int(value):o}"


def _hexadecimal(value: Value) -> str:
    if type(value) is str or type(value) is bytes:
        return to_bytes(value).hex()
    if type(value) not in {int, Uint}:
        raise _wrong("x", value)
    return f"{int(value):x}"


_CLAUSES: dict[str, Callable[[Value], str]] = {
    "s": _any_text,
    "d": _decimal,
    "b": _binary,
    "o": _octal,
    "x": _hexadecimal,
    "X": lambda value: _hexadecimal(value).upper(),
}
