"""Tries conditions on single values: what they are when a value stands at a place, and nothing anywhere else."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from bridge.errors import RuleError
from bridge.routing.expression import ExpressionError, compile_node
from bridge.routing.names import Names, Variable, read_variable
from bridge.routing.review.trees import Path, place_of, reads, shape
from bridge.routing.syntax import Apply, Binary, ListOf, Literal, Select
from bridge.routing.template import path_of
from bridge.routing.values import ABSENT, Uint, Value, equal
from bridge.routing.variables import MessageNames

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from bridge.routing.review.trees import Shape
    from bridge.routing.syntax import Node

_SCALARS = frozenset((str, int, Uint, bool, bytes, float, type(None)))
_NUMBERS = frozenset((int, Uint, float))
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}


class Choice(NamedTuple):
    """A test that leaves few values for a place: ``body.type == "a"``, ``body.type in […]``, also with ``orValue``."""

    path: Path
    values: tuple[Value, ...]  # ABSENT among them: nothing may stand there


class Bound(NamedTuple):
    """``path operator number``; true for numbers only."""

    path: Path
    operator: str
    number: Fraction

    def holds(self, value: Fraction) -> bool:
        """Whether a number is on the right side."""
        number = self.number
        return {
            "<": value < number,
            "<=": value <= number,
            ">": value > number,
            ">=": value >= number,
            "==": value == number,
        }[self.operator]


class About(NamedTuple):
    """One condition."""

    node: Node
    shape: Shape
    reads: frozenset[Path] | None  # see ``trees.reads``
    root: Path  # what all that it reads has in common: it depends on nothing else; () where that is no place
    bound: Bound | None


def _common(paths: Collection[Path]) -> Path:
    steps = []
    for step in zip(*paths, strict=False):
        if len(set(step)) > 1:
            break
        steps.append(step[0])
    return tuple(steps)


class Values:
    """Constants of one configuration, and what conditions are for single values."""

    def __init__(self, constants: Mapping[str, Value]) -> None:
        self._constants = constants
        known = MessageNames({}).names((), ()).variables
        names = {name: Variable(f'read_variable(env, "{name}")') for name in known}
        self._names = Names("env", names, {"read_variable": read_variable})
        self._compiled: dict[Shape, Callable[..., Value] | None] = {}
        self._known: dict[tuple[Shape, Path, str], bool] = {}
        self._seen: dict[int, About] = {}

    def about(self, node: Node) -> About:
        """What can be told of a condition by itself; found once for each."""
        # The node is kept, so that its number is not given to another one.
        if id(node) not in self._seen:
            found = reads(node)
            self._seen[id(node)] = About(node, shape(node), found, _common(found or ()), self._bound(node))
        return self._seen[id(node)]

    def constant(self, node: Node) -> Value:
        """The scalar that a node always is; ABSENT for anything else."""
        value = node.value if isinstance(node, Literal) else ABSENT
        path = path_of(node) if isinstance(node, Select) else None
        if path is not None and path[0] == "vars" and len(path) == 2:  # noqa: PLR2004  vars.name
            value = self._constants.get(str(path[1]), ABSENT)
        return value if type(value) in _SCALARS and value == value else ABSENT  # noqa: PLR0124  not a NaN

    def choice(self, node: Node) -> Choice | None:
        """The values that a condition leaves, where it is such a test."""
        if not isinstance(node, Binary) or node.operator not in {"==", "in"}:
            return None
        left, right = node.left, node.right
        if node.operator == "==" and self.constant(left) is not ABSENT:
            left, right = right, left
        values = self._elements(right) if node.operator == "in" else [self.constant(right)]
        path, default = self._place(left)
        if path is None or values is None or ABSENT in values:
            return None
        variants = [variant for value in values for variant in _variants(value)]
        if default is not ABSENT and any(equal(default, value) for value in values):
            variants.append(ABSENT)
        return Choice(path, tuple(variants))

    def _elements(self, node: Node) -> list[Value] | None:
        if not isinstance(node, ListOf) or any(optional for _, optional in node.elements):
            return None
        return [self.constant(element) for element, _ in node.elements]

    def _place(self, node: Node) -> tuple[Path | None, Value]:
        """What a test looks at, and what stands for it where nothing does; ABSENT: then the test is not true."""
        if isinstance(node, Apply) and node.function == "orValue" and node.target is not None and node.arguments:
            default = self.constant(node.arguments[0])
            return (place_of(node.target) if default is not ABSENT else None), default
        return path_of(node), ABSENT

    def _bound(self, node: Node) -> Bound | None:
        """The comparison with a number that a condition is."""
        if not isinstance(node, Binary) or node.operator not in _FLIPPED:
            return None
        left, right, operator = node.left, node.right, node.operator
        if self.constant(left) is not ABSENT:
            left, right, operator = right, left, _FLIPPED[operator]
        path, number = path_of(left), self.constant(right)
        if path is None or path[0] == "vars" or type(number) not in _NUMBERS or not isfinite(number):
            return None
        return Bound(path, operator, Fraction(number))

    def holds(self, node: Node, path: Path, value: Value) -> bool:
        """Whether a condition that depends on this place only is true when the value stands there."""
        key = (self.about(node).shape, path, f"{type(value).__name__} {value!r}")
        if key not in self._known:
            self._known[key] = self._evaluate(node, _around(path, value)) is True
        return self._known[key]

    def fixed(self, node: Node) -> Value:
        """The value of an expression that depends on nothing; ABSENT where it has none."""
        return self._evaluate(node, {})

    def _evaluate(self, node: Node, env: Mapping[str, Value]) -> Value:
        key = self.about(node).shape
        if key not in self._compiled:
            try:
                self._compiled[key] = compile_node("", node, self._names).function
            except ExpressionError:
                self._compiled[key] = None
        function = self._compiled[key]
        try:
            return ABSENT if function is None else function({"vars": self._constants, **env})
        except RuleError:
            return ABSENT


def _around(path: Path, value: Value) -> dict[str, Value]:
    """The variables when this stands at the place, and nothing anywhere else."""
    inner: Value = value
    for number, step in enumerate(reversed(path)):
        inner = {} if number == 0 and value is ABSENT else {step: inner}
    return dict(inner)


def _variants(value: Value) -> list[Value]:
    """All values that are equal to one: a number has its twins in the other types."""
    if type(value) not in _NUMBERS:
        return [value]
    found: list[Value] = [value]
    if value == int(value):
        found += [int(value)] + ([Uint(int(value))] if value >= 0 else [])
    if float(value) == value:
        found.append(float(value))
    if value == 0:
        found.append(-0.0)
    return list({(type(item), repr(item)): item for item in found}.values())


def possible(bounds: Sequence[Bound]) -> bool:
    """Whether any number is on the right side of all."""
    return any(all(bound.holds(point) for bound in bounds) for point in points(bounds))


def points(bounds: Sequence[Bound]) -> list[Fraction]:
    """Numbers that stand for all: each bound, one between any two, and one beyond either end."""
    numbers = sorted({bound.number for bound in bounds})
    between = [(low + high) / 2 for low, high in pairwise(numbers)]
    return [numbers[0] - 1, *numbers, *between, numbers[-1] + 1] if numbers else []
