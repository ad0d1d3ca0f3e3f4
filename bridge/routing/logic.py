"""What CEL's ``! && ||`` and its macros do; ``&&`` and ``||`` bear an error in one operand if another one decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.errors import MissingField, RuleError
from bridge.routing.budget import spend
from bridge.routing.operators import no_overload
from bridge.routing.values import ABSENT, NONE, Optional, Value, type_name

if TYPE_CHECKING:
    from collections.abc import Callable


def truth(value: object) -> bool:
    """A bool as itself, anything else is an error."""
    if value is True or value is False:
        return value
    raise RuleError(f"a condition must be a bool, not a {type_name(value)}")


def negated(value: object) -> bool:
    """``!``."""
    if value is True or value is False:
        return not value
    raise no_overload("!", value)


def both(*operands: Callable[[], object]) -> bool:
    """``&&``: false if any operand is, whatever errors the others have.

    Of several errors a missing field is the one that counts: the condition is false in any case.
    """
    error: RuleError | None = None
    for operand in operands:
        try:
            if not truth(operand()):
                return False
        except MissingField as failure:
            error = failure if not isinstance(error, MissingField) else error
        except RuleError as failure:
            error = error or failure
    if error is not None:
        raise error
    return True


def either(*operands: Callable[[], object]) -> bool:
    """``||``: true if any operand is, whatever errors the others have; of those a missing field counts least."""
    error: RuleError | None = None
    for operand in operands:
        try:
            if truth(operand()):
                return True
        except RuleError as failure:
            error = failure if error is None or isinstance(error, MissingField) else error
    if error is not None:
        raise error
    return False


def items(container: Value) -> Value:
    """What ``for_each`` goes over: a list's elements, a map's keys."""
    if type(container) is list or type(container) is dict:
        return container
    raise RuleError(f"a {type_name(container)} has no elements")


def charged(container: Value) -> Value:
    """The same for a macro, paid for."""
    if type(container) is list or type(container) is dict:
        spend(len(container))
        return container
    raise RuleError(f"a {type_name(container)} has no elements")


def every(container: Value, predicate: Callable[[Value], object]) -> bool:
    """``container.all(x, predicate)``."""
    error: RuleError | None = None
    for item in charged(container):
        try:
            if not truth(predicate(item)):
                return False
        except RuleError as failure:
            error = failure
    if error is not None:
        raise error
    return True


def some(container: Value, predicate: Callable[[Value], object]) -> bool:
    """``container.exists(x, predicate)``."""
    error: RuleError | None = None
    for item in charged(container):
        try:
            if truth(predicate(item)):
                return True
        except RuleError as failure:
            error = failure
    if error is not None:
        raise error
    return False


def exactly_one(container: Value, predicate: Callable[[Value], object]) -> bool:
    """``container.exists_one(x, predicate)``."""
    return sum(truth(predicate(item)) for item in charged(container)) == 1


def mapped(container: Value, transform: Callable[[Value], Value]) -> list[Value]:
    """``container.map(x, transform)``."""
    return [transform(item) for item in charged(container)]


def mapped_where(
    container: Value, predicate: Callable[[Value], object], transform: Callable[[Value], Value]
) -> list[Value]:
    """``container.map(x, predicate, transform)``."""
    return [transform(item) for item in charged(container) if truth(predicate(item))]


def filtered(container: Value, predicate: Callable[[Value], object]) -> list[Value]:
    """``container.filter(x, predicate)``."""
    return [item for item in charged(container) if truth(predicate(item))]


def _optional(value: Value) -> Optional:
    if type(value) is not Optional:
        raise no_overload("an optional's function", value)
    return value


def or_value(value: Value, default: Callable[[], Value]) -> Value:
    """``value.orValue(default)``."""
    held = _optional(value).value
    return default() if held is ABSENT else held


def or_optional(value: Value, default: Callable[[], Value]) -> Optional:
    """``value.or(default)``."""
    return _optional(default()) if _optional(value).value is ABSENT else value


def opt_map(value: Value, transform: Callable[[Value], Value]) -> Optional:
    """``value.optMap(x, transform)``."""
    held = _optional(value).value
    return NONE if held is ABSENT else Optional(transform(held))


def opt_flat_map(value: Value, transform: Callable[[Value], Value]) -> Optional:
    """``value.optFlatMap(x, transform)``."""
    held = _optional(value).value
    return NONE if held is ABSENT else _optional(transform(held))
