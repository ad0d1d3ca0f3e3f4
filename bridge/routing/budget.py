"""What one evaluation may cost, so that no message keeps the bridge from its work or fills its memory.

Without a macro an expression costs what its own length and the message's size allow, and needs no watch. A macro is
charged for every element that it goes over; from the first one on every operation is charged for the lists, maps and
long texts that it is given: those of a macro's body are done again and again, and a variable makes big things of small
ones. A step is an element, or 64 characters or bytes.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final

from bridge.errors import RuleError
from bridge.routing.jsontext import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.routing.values import Value

STEPS: Final = 1_000_000  # per evaluation: some tenths of a second, some tens of megabytes
TOGETHER: Final = 2 * STEPS  # of all evaluations for the elements of one message, as in ``for_each``
_CHARACTERS = 6  # of a step, as a power of two
_SMALL = 64  # what is not longer costs nothing: it is as quick as asking for its length
_TEXTS = frozenset((str, bytes))
_SIZED = frozenset((str, bytes, list, dict))


class _Budget(threading.local):
    """The steps that are left; in a thread one evaluation follows another, so that one number serves all of its own."""

    def __init__(self) -> None:
        self.left = STEPS
        self.together = math.inf


_budget = _Budget()


def refill() -> None:
    """Begin an evaluation. Raises RuleError where it is one of many, and those before have taken what they share."""
    _budget.together -= STEPS - _budget.left
    _budget.left = STEPS
    if _budget.together < 0:
        raise RuleError(f"the elements cost too much together: more than {TOGETHER} steps")


def share() -> None:
    """Until ``alone`` the evaluations are for the elements of one message, and have ``TOGETHER`` steps."""
    _budget.left, _budget.together = STEPS, TOGETHER


def alone() -> None:
    """Evaluations share nothing any more."""
    _budget.together = math.inf


def exhausted() -> bool:
    """Whether what evaluations share is used up: the next one that is metered fails."""
    return _budget.together < 0


def spend(steps: int) -> None:
    """Take steps. Raises RuleError where they were the last ones."""
    _budget.left -= steps
    if _budget.left < 0:
        raise RuleError(f"this costs too much: more than {STEPS} steps")


def charge(value: Value) -> None:
    """Take the steps for looking at everything in a value."""
    if type(value) in _TEXTS:
        spend(len(value) >> _CHARACTERS)
        return
    within = [value]
    while within:  # not by recursion: what a macro made may be deep
        part = within.pop()
        kind = type(part)
        if kind in _TEXTS:
            spend(len(part) >> _CHARACTERS)
        elif kind is list:
            spend(len(part))
            within.extend(part)
        elif kind is dict:
            spend(2 * len(part))
            within.extend(part)
            within.extend(part.values())


def metered(function: Callable[..., Value]) -> Callable[..., Value]:
    """The function, charged for what it is given and for what it gives."""

    def call(*arguments: Value) -> Value:
        for argument in arguments:
            if (type(argument) in _SIZED and len(argument) > _SMALL) or type(argument) is list:
                charge(argument)
        result = function(*arguments)
        if type(result) in _SIZED and len(result) > _SMALL:
            spend(len(result) >> _CHARACTERS if type(result) in _TEXTS else len(result))
        return result

    return call


def metered_pair(function: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    """The same for an operator, whose result is no larger than its operands."""

    def call(left: Value, right: Value) -> Value:
        if type(left) in _SIZED:
            charge(left)
        if type(right) in _SIZED:
            charge(right)
        return function(left, right)

    return call


def metered_in(function: Callable[[Value, Value], bool]) -> Callable[[Value, Value], bool]:
    """The same for ``in``: a map is not looked through, and a list's elements as far as the element is deep."""

    def call(element: Value, container: Value) -> bool:
        if type(container) is list:
            spend(len(container))
            if type(element) is list or type(element) is dict:
                charge(container)
        return function(element, container)

    return call


def encode_metered(value: Value) -> bytes:
    """As ``encode``, charged: what a macro made may be much larger as JSON than in memory."""
    charge(value)
    return encode(value)
