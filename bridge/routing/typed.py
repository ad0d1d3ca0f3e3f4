"""Values of CEL with their types, as JSON that loses nothing and as literals of CEL; not how calls are encoded."""

from __future__ import annotations

import json
import math
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Final

from bridge.errors import RuleError
from bridge.routing.access import map_of
from bridge.routing.conversions import to_double, to_int, to_uint
from bridge.routing.times import format_duration, format_timestamp, parse_duration, parse_timestamp
from bridge.routing.values import (
    ABSENT,
    NONE,
    TYPES,
    Duration,
    Optional,
    Timestamp,
    Type,
    Uint,
    Value,
    type_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DEEPEST = 100
# What would move the cursor of a terminal, or change what it shows; JSON escapes the others.
_UNSEEN = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SPECIAL = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}


def typed(value: Value, depth: int = 0) -> dict[str, Value]:
    """``{"type": …, "value": …}``, with the value in JSON.

    int and uint are decimal text, bytes base64, timestamps and durations CEL's text, a type its name, a double a number
    or "NaN", "Infinity", "-Infinity". A list has typed elements, a map a list of typed [key, value] pairs; an optional
    has a typed value, or null where it is empty. Raises RuleError beyond 100 levels.
    """
    if depth > _DEEPEST:
        raise RuleError(f"the value has more than {_DEEPEST} levels")
    name = type_name(value)
    if type(value) is list:
        return {"type": name, "value": [typed(item, depth + 1) for item in value]}
    if type(value) is dict:
        pairs = [[typed(key, depth + 1), typed(item, depth + 1)] for key, item in value.items()]
        return {"type": name, "value": pairs}
    if type(value) is Optional:
        return {"type": name, "value": None if value.value is ABSENT else typed(value.value, depth + 1)}
    writer = _PLAIN.get(type(value))
    return {"type": name, "value": value if writer is None else writer(value)}


def _double(value: float) -> float | str:
    return value if math.isfinite(value) else _SPECIAL[str(value)]


_PLAIN: Final[dict[type, Callable[[Value], Value]]] = {
    int: str,
    Uint: lambda value: str(int(value)),
    float: _double,
    bytes: lambda value: b64encode(value).decode(),
    Timestamp: format_timestamp,
    Duration: format_duration,
    Type: lambda value: value.name,
}


def given(binding: Value) -> Value:
    """The value of a binding: what ``typed`` gives, or plain JSON as a message's body has it.

    Only an object of exactly "type" and "value", whose type is one of CEL, is read as typed; what is inside of plain
    JSON is plain. Raises RuleError where a typed value is none of its type.
    """
    if type(binding) is dict and binding.keys() == {"type", "value"} and binding["type"] in _READERS:
        return _read(binding)
    return binding


def _read(described: Value) -> Value:
    if type(described) is not dict or described.keys() != {"type", "value"}:
        raise RuleError('a typed value is written {"type": …, "value": …}')
    kind, value = described["type"], described["value"]
    reader = _READERS.get(kind) if type(kind) is str else None
    if reader is None:
        raise RuleError(f"there is no type {json.dumps(kind)}; there are {', '.join(_READERS)}")
    try:
        return reader(value)
    except (TypeError, ValueError, Base64Error, RecursionError):
        raise RuleError(f"this is no value of the type {kind}") from None


def _integer(convert: Callable[[Value], Value]) -> Callable[[Value], Value]:
    def read(value: Value) -> Value:
        if type(value) is not int and type(value) is not str:
            raise TypeError
        return convert(value)

    return read


def _of(kind: type) -> Callable[[Value], Value]:
    def read(value: Value) -> Value:
        if type(value) is not kind:
            raise TypeError
        return value

    return read


def _optional(value: Value) -> Optional:
    return NONE if value is None else Optional(_read(value))


def _list(value: Value) -> list[Value]:
    return [_read(item) for item in _of(list)(value)]


def _map(value: Value) -> dict[Value, Value]:
    return map_of((_read(key), _read(item), False) for key, item in _of(list)(value))


_READERS: Final[Mapping[Value, Callable[[Value], Value]]] = {
    "int": _integer(to_int),
    "uint": _integer(to_uint),
    "double": to_double,
    "bool": _of(bool),
    "string": _of(str),
    "bytes": lambda value: b64decode(value, validate=True),
    "null_type": _of(type(None)),
    "list": _list,
    "map": _map,
    "google.protobuf.Timestamp": lambda value: parse_timestamp(_of(str)(value)),
    "google.protobuf.Duration": lambda value: parse_duration(_of(str)(value)),
    "timestamp": lambda value: parse_timestamp(_of(str)(value)),
    "duration": lambda value: parse_duration(_of(str)(value)),
    "type": lambda value: TYPES.get(value) or Type(_of(str)(value)),
    "optional_type": _optional,
}


def literal(value: Value, depth: int = 0) -> str:
    """The value as an expression of CEL, with nothing in it that disturbs a terminal. Raises RuleError as ``typed``."""
    if depth > _DEEPEST:
        raise RuleError(f"the value has more than {_DEEPEST} levels")
    if type(value) is list:
        return f"[{', '.join(literal(item, depth + 1) for item in value)}]"
    if type(value) is dict:
        pairs = (f"{literal(key, depth + 1)}: {literal(item, depth + 1)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if type(value) is Optional:
        return "optional.none()" if value.value is ABSENT else f"optional.of({literal(value.value, depth + 1)})"
    return _LITERALS[type(value)](value)


def _text(value: str) -> str:
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))


def _bytes(value: bytes) -> str:
    shown = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in value)  # noqa: PLR2004  ASCII
    return f'b"{"".join(shown)}"'


def _unsigned(value: int) -> str:
    return f"{int(value)}u"


_LITERALS: Final[dict[type, Callable[[Value], str]]] = {
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: lambda value: str(value) if type_name(value) == "int" else _unsigned(value),
    Uint: _unsigned,
    float: lambda value: repr(value) if math.isfinite(value) else f'double("{_SPECIAL[str(value)]}")',
    str: _text,
    bytes: _bytes,
    Timestamp: lambda value: f'timestamp("{format_timestamp(value)}")',
    Duration: lambda value: f'duration("{format_duration(value)}")',
    Type: lambda value: value.name,
}
