"""The values of CEL in Python, their types and their equality.

int, double, string, bytes, bool, null, list and map are Python's own. An int above ``INT_MAX``, which only a message
can bring, is a uint. What Python has no exact word for is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bridge.errors import RuleError

Value = Any  # any value of CEL: expressions are typed when they run

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1


class Uint(int):
    """An unsigned 64-bit integer."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time; nanoseconds since the Unix epoch, from year 1 to year 9999."""

    ns: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time in nanoseconds, at most 2^63 - 1 (292 years) either way."""

    ns: int


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a value, itself a value."""

    name: str


class _Absent:
    """The type of ``ABSENT``."""

    __slots__ = ()


ABSENT: Final = (
    _Absent()
)  # no value: what an empty Optional holds, and what ``lookup`` gives for a key that is not there


@dataclass(frozen=True, slots=True, eq=False)
class Optional:
    """A value that may be absent."""

    value: object = ABSENT


NONE: Final = Optional()

# The classes are compared exactly, with `type(x) is`: no value of CEL is of a subclass, and bool must not pass for int.
_TYPE_NAMES: Final[dict[type, str]] = {
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    bool: "bool",
    type(None): "null_type",
    list: "list",
    dict: "map",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    Type: "type",
    Optional: "optional_type",
}
TYPES: Final = {name: Type(name) for name in ("int", *_TYPE_NAMES.values())}


def type_name(value: Value) -> str:
    """The name of a value's CEL type."""
    if type(value) is int:
        return "int" if value <= INT_MAX else "uint"
    return _TYPE_NAMES.get(type(value), type(value).__name__)


def equal(left: Value, right: Value) -> bool:
    """CEL's ``==``: numbers by their mathematical value, lists and maps by their parts; other types never equal."""
    kind = type(left)
    if kind is not type(right):
        # Python takes True for 1; CEL does not.
        return kind is not bool and type(right) is not bool and bool(left == right)
    if kind is list:
        return len(left) == len(right) and all(map(equal, left, right))
    if kind is dict:
        return _equal_maps(left, right)
    if kind is Optional:
        return _equal_optionals(left, right)
    return bool(left == right)


def _equal_maps(left: dict[Value, Value], right: dict[Value, Value]) -> bool:
    if len(left) != len(right):
        return False
    pairs = ((value, lookup(right, key)) for key, value in left.items())
    return all(other is not ABSENT and equal(value, other) for value, other in pairs)


def _equal_optionals(left: Optional, right: Optional) -> bool:
    if left.value is ABSENT or right.value is ABSENT:
        return left.value is right.value
    return equal(left.value, right.value)


def lookup(mapping: dict[Value, Value], key: Value) -> Value:
    """The value of a key, or ABSENT. Raises RuleError for what cannot be a key."""
    kind = type(key)
    if kind is str:
        return mapping.get(key, ABSENT)
    if kind is float:
        return lookup(mapping, int(key)) if key.is_integer() else ABSENT
    if kind not in {bool, int, Uint}:
        raise RuleError(f"a {type_name(key)} cannot be the key of a map")
    if key not in {0, 1} or key not in mapping:
        return mapping.get(key, ABSENT)
    # Python holds True and 1 for the same key; CEL does not.
    same = (value for other, value in mapping.items() if other == key and (type(other) is bool) is (kind is bool))
    return next(same, ABSENT)
