"""What CEL's operators do; every function is called from compiled expressions and raises RuleError or MissingField.

Fast ways first: most operands are of one and the same type.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING

from bridge.errors import RuleError
from bridge.routing.times import checked_duration, checked_timestamp
from bridge.routing.values import (
    ABSENT,
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    Duration,
    Timestamp,
    Uint,
    Value,
    equal,
    lookup,
    type_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMESTAMP, _DURATION = "google.protobuf.Timestamp", "google.protobuf.Duration"


def no_overload(what: str, *operands: object) -> RuleError:
    """The error for operands of types that do not go together."""
    return RuleError(f"{what} is not defined for {' and '.join(map(type_name, operands))}")


def add(left: Value, right: Value) -> Value:
    """``+``."""
    kind = type(left)
    if kind is type(right):
        if kind is int:
            total = left + right
            if INT_MIN <= total <= INT_MAX:
                return total
        elif kind is float or kind is str or kind is bytes or kind is list:
            return left + right
    return arithmetic("+", left, right)


def total(first: Value, *rest: Value) -> Value:
    """A chain of ``+``, from the left."""
    for operand in rest:
        first = add(first, operand)
    return first


def subtract(left: Value, right: Value) -> Value:
    """``-``."""
    return arithmetic("-", left, right)


def multiply(left: Value, right: Value) -> Value:
    """``*``."""
    return arithmetic("*", left, right)


def divide(left: Value, right: Value) -> Value:
    """``/``: toward zero for integers."""
    return arithmetic("/", left, right)


def remainder(left: Value, right: Value) -> Value:
    """``%``: the sign is the left operand's."""
    return arithmetic("%", left, right)


def _signed(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise RuleError("the result does not fit in a 64-bit int")
    return value


def _unsigned(value: int) -> Uint:
    if not 0 <= value <= UINT_MAX:
        raise RuleError("the result does not fit in a 64-bit uint")
    return Uint(value)


def _quotient(left: int, right: int) -> int:
    if right == 0:
        raise RuleError("division by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) is (right < 0) else -quotient


def _modulus(left: int, right: int) -> int:
    if right == 0:
        raise RuleError("modulus by zero")
    return left - right * _quotient(left, right)


def _divide_doubles(left: float, right: float) -> float:
    if right:
        return left / right
    if left == 0 or math.isnan(left) or math.isnan(right):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


_INTEGERS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _quotient,
    "%": _modulus,
}
_DOUBLES: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide_doubles,
}
_TIMES: dict[tuple[str, str, str], Callable[[Value, Value], Value]] = {
    ("+", _TIMESTAMP, _DURATION): lambda left, right: checked_timestamp(left.ns + right.ns),
    ("+", _DURATION, _TIMESTAMP): lambda left, right: checked_timestamp(left.ns + right.ns),
    ("+", _DURATION, _DURATION): lambda left, right: checked_duration(left.ns + right.ns),
    ("-", _TIMESTAMP, _DURATION): lambda left, right: checked_timestamp(left.ns - right.ns),
    ("-", _TIMESTAMP, _TIMESTAMP): lambda left, right: checked_duration(left.ns - right.ns),
    ("-", _DURATION, _DURATION): lambda left, right: checked_duration(left.ns - right.ns),
}


def arithmetic(sign: str, left: Value, right: Value) -> Value:
    """Value of the five operators, by the operands' types."""
    kinds = type_name(left), type_name(right)
    if kinds == ("int", "int"):
        return _signed(_INTEGERS[sign](left, right))
    if kinds == ("uint", "uint"):
        return _unsigned(_INTEGERS[sign](left, right))
    if kinds == ("double", "double") and sign in _DOUBLES:
        return _DOUBLES[sign](left, right)
    if (sign, *kinds) in _TIMES:
        return _TIMES[sign, *kinds](left, right)
    raise no_overload(sign, left, right)


def negate(value: Value) -> Value:
    """Unary ``-``."""
    kind = type_name(value)
    if kind == "int":
        return _signed(-value)
    if kind == "double":
        return -value
    if kind == _DURATION:
        return checked_duration(-value.ns)
    raise no_overload("-", value)


_NUMBERS = frozenset((int, float, Uint))
_ORDERED = frozenset((int, float, Uint, str, bytes, bool, Timestamp, Duration))


def _numbers(left: Value, right: Value) -> tuple[Value, Value] | None:
    """Numbers of two types, made comparable: next to a double an integer is one too, rounded as CEL says."""
    kind, other = type(left), type(right)
    if kind not in _NUMBERS or other not in _NUMBERS:
        return None
    if kind is float or other is float:
        return float(left), float(right)
    return left, right


def less(left: Value, right: Value) -> bool:
    """``<``."""
    kind = type(left)
    if kind is type(right) and kind in _ORDERED:
        return bool(left < right)
    numbers = _numbers(left, right)
    if numbers is None:
        raise no_overload("<", left, right)
    return bool(numbers[0] < numbers[1])


def less_equal(left: Value, right: Value) -> bool:
    """``<=``."""
    kind = type(left)
    if kind is type(right) and kind in _ORDERED:
        return bool(left <= right)
    numbers = _numbers(left, right)
    if numbers is None:
        raise no_overload("<=", left, right)
    return bool(numbers[0] <= numbers[1])


def greater(left: Value, right: Value) -> bool:
    """``>``."""
    kind = type(left)
    if kind is type(right) and kind in _ORDERED:
        return bool(left > right)
    numbers = _numbers(left, right)
    if numbers is None:
        raise no_overload(">", left, right)
    return bool(numbers[0] > numbers[1])


def greater_equal(left: Value, right: Value) -> bool:
    """``>=``."""
    kind = type(left)
    if kind is type(right) and kind in _ORDERED:
        return bool(left >= right)
    numbers = _numbers(left, right)
    if numbers is None:
        raise no_overload(">=", left, right)
    return bool(numbers[0] >= numbers[1])


def contained(element: object, container: object) -> bool:
    """``in``: an element of a list, a key of a map."""
    if type(container) is list:
        return any(equal(element, other) for other in container)
    if type(container) is dict:
        return lookup(container, element) is not ABSENT
    raise no_overload("in", element, container)
