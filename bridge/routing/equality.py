"""Finds the equality tests in a condition that an index can answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from bridge.routing.syntax import Apply, Binary, Index, ListOf, Literal, Logic, Name, Select
from bridge.routing.values import ABSENT, Uint, Value
from bridge.routing.variables import ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.routing.syntax import Node

_FIELDS: Final = frozenset(("channel", "source", *ATTRIBUTES))
_MAPS: Final = frozenset(("body", "headers"))
# Values that a dictionary finds whenever CEL calls them equal; a NaN is the one that it would find too often.
_HASHABLE: Final = frozenset((str, int, Uint, bool, bytes, type(None)))


class Place(NamedTuple):
    """What is looked up: a variable, or with ``path`` the field at the end of it, in the map that it holds."""

    variable: str
    path: tuple[str, ...] = ()


class Test(NamedTuple):
    """``place == value``, or ``place in values``, as one operand of the condition's ``&&``."""

    operand: int  # which one
    place: Place
    values: tuple[Value, ...]
    default: Value = ABSENT  # what stands for a field that is missing; ABSENT: then the condition is false

    @property
    def exact(self) -> bool:
        """Whether finding the value proves the test: nothing but a text is found under a text."""
        return all(type(value) is str for value in self.values)


def operands_of(node: Node | None) -> tuple[Node, ...]:
    """What must all be true."""
    if node is None:
        return ()
    if isinstance(node, Logic) and node.operator == "&&":
        return tuple(operand for part in node.operands for operand in operands_of(part))
    return (node,)


def all_of(operands: Sequence[Node]) -> Node | None:
    """The inverse of ``operands_of``."""
    if len(operands) < 2:  # noqa: PLR2004  one needs no &&
        return operands[0] if operands else None
    return Logic("&&", tuple(operands), operands[0].position)


def tests_of(node: Node | None, constants: Mapping[str, Value]) -> list[Test]:
    """The tests of a condition that an index can answer; ``constants`` is the variable ``vars``."""
    found = []
    for number, operand in enumerate(operands_of(node)):
        if isinstance(operand, Binary) and operand.operator in {"==", "in"}:
            test = _test(number, operand, constants)
            if test is not None:
                found.append(test)
    return found


def _test(number: int, node: Binary, constants: Mapping[str, Value]) -> Test | None:
    left, right = node.left, node.right
    if node.operator == "==" and _constant(left, constants) is not None:
        left, right = right, left
    values = _values(right, constants) if node.operator == "in" else _constant(right, constants)
    place, default = _place(left)
    if values is None or place is None:
        return None
    return Test(number, place, values, default)


def _values(node: Node, constants: Mapping[str, Value]) -> tuple[Value, ...] | None:
    """The values of a list of constants."""
    if not isinstance(node, ListOf) or any(optional for _, optional in node.elements):
        return None
    found = [_constant(element, constants) for element, _ in node.elements]
    return None if None in found else tuple(value for values in found if values for value in values)


def _constant(node: Node, constants: Mapping[str, Value]) -> tuple[Value] | None:
    """A constant, in a tuple because it may be None."""
    if isinstance(node, Literal):
        value = node.value
    elif isinstance(node, Select) and node.operand == Name("vars", node.operand.position) and not node.optional:
        value = constants.get(node.field, ABSENT)
    else:
        return None
    return (value,) if type(value) in _HASHABLE else None


def _place(node: Node) -> tuple[Place | None, Value]:
    """What a test looks at, and what stands for it where it is missing."""
    if isinstance(node, Name):
        return (Place(node.name) if node.name in _FIELDS else None), ABSENT
    if isinstance(node, Apply) and node.function == "orValue" and node.target is not None and len(node.arguments) == 1:
        default = node.arguments[0]
        if not isinstance(default, Literal) or type(default.value) not in _HASHABLE:
            return None, ABSENT
        return _element(node.target, optional=True), default.value
    return _element(node, optional=False), ABSENT


def _element(node: Node, *, optional: bool) -> Place | None:
    """The place of a field of a field … of a map; of ``optional`` fields only the last one is."""
    if not isinstance(node, Select | Index) or node.optional is not optional:
        return None
    field = node.field if isinstance(node, Select) else node.key.value if isinstance(node.key, Literal) else None
    if type(field) is not str:
        return None
    if isinstance(node.operand, Name):
        return Place(node.operand.name, (field,)) if node.operand.name in _MAPS else None
    outer = _element(node.operand, optional=False)
    return Place(outer.variable, (*outer.path, field)) if outer is not None and outer.variable == "body" else None
