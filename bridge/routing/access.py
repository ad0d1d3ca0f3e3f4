"""How compiled expressions read fields and elements, and build lists and maps; raises MissingField and RuleError."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.errors import MissingField, RuleError
from bridge.routing.operators import no_overload
from bridge.routing.values import ABSENT, NONE, Optional, Uint, Value, lookup, type_name

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBERS = frozenset((int, float, Uint))


def select(operand: Value, field: str) -> Value:
    """``operand.field``. What has no fields at all has not this one either."""
    if type(operand) is dict:
        value = operand.get(field, ABSENT)
        if value is not ABSENT:
            return value
    elif type(operand) is Optional:
        return select_optional(operand, field)
    raise MissingField(f"no field {field!r}")


def select_optional(operand: Value, field: str) -> Optional:
    """``operand.?field``."""
    return index_optional(operand, field)


def index(operand: Value, key: Value) -> Value:
    """``operand[key]``."""
    if type(operand) is Optional:
        return index_optional(operand, key)
    value = _element(operand, key)
    if value is ABSENT:
        raise MissingField("no such element")
    return value


def index_optional(operand: Value, key: Value) -> Optional:
    """``operand[?key]``: absent is an element, not the map or list that it would be in."""
    if type(operand) is Optional:
        if operand.value is ABSENT:
            return NONE
        operand = operand.value
    if type(operand) is not dict and (type(operand) is not list or type(key) is str):
        raise MissingField("no such element")
    value = _element(operand, key)
    return NONE if value is ABSENT else Optional(value)


def _element(operand: Value, key: Value) -> Value:
    if type(operand) is dict:
        return lookup(operand, key)
    if type(operand) is list and type(key) in _NUMBERS:
        return operand[int(key)] if key == int(key) and 0 <= key < len(operand) else ABSENT
    if operand is None or type(key) is str:
        return ABSENT
    raise no_overload("[ ]", operand, key)


def get(operand: Value, key: str, default: Value) -> Value:
    """``operand[?key].orValue(default)`` where the operand is a map."""
    if type(operand) is not dict:
        raise no_overload("[ ]", operand, key)
    return operand.get(key, default)


def has(operand: Value, field: str) -> bool:
    """``has(operand.field)``."""
    if type(operand) is dict:
        return field in operand
    if type(operand) is Optional:
        return select_optional(operand, field).value is not ABSENT
    if operand is None:
        return False
    raise no_overload("has", operand)


def list_of(elements: Iterable[tuple[Value, bool]]) -> list[Value]:
    """A list some of whose elements are optional."""
    return [
        opened
        for element, is_optional in elements
        if (opened := _opened(element) if is_optional else element) is not ABSENT
    ]


def map_of(entries: Iterable[tuple[Value, Value, bool]]) -> dict[Value, Value]:
    """A map from its entries."""
    result: dict[Value, Value] = {}
    for key, value, is_optional in entries:
        if type(key) not in {str, int, Uint, bool}:
            raise RuleError(f"a {type_name(key)} cannot be the key of a map")
        if key in result:
            raise RuleError("a key stands twice")
        opened = _opened(value) if is_optional else value
        if opened is not ABSENT:
            result[key] = opened
    return result


def _opened(value: object) -> object:
    if type(value) is not Optional:
        raise RuleError(f"? needs an optional, not a {type_name(value)}")
    return value.value
