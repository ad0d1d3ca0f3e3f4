"""What conditions say about each other: can one be true at all, does one imply another. Certain, never complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bridge.routing.equality import operands_of
from bridge.routing.review.kinds import mismatch
from bridge.routing.review.trees import Path, is_has, needs, place_of, written
from bridge.routing.review.values import Bound, Choice, points, possible
from bridge.routing.syntax import Logic, Unary, parts_of
from bridge.routing.values import ABSENT, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.routing.review.values import Values
    from bridge.routing.syntax import Node

MOST_CASES = 32  # of a condition with || in it; beyond, a || is not looked into

Given = Mapping[Path, tuple[Value, ...]]  # what can stand at some places, whatever the condition; ABSENT: nothing


def cases_of(node: Node | None, values: Values, given: Given) -> list[Case]:
    """The ways in which a condition can be true, one for each choice among its ``||``."""
    return [Case(operands, values, given) for operands in _split(list(operands_of(node)))]


def _split(operands: list[Node]) -> list[list[Node]]:
    found = [operands]
    for number in range(len(operands)):
        node = operands[number]
        if isinstance(node, Logic) and node.operator == "||" and len(found) * len(node.operands) <= MOST_CASES:
            found = [[*case[:number], part, *case[number + 1 :]] for case in found for part in node.operands]
    return [[part for operand in case for part in operands_of(operand)] for case in found]


class Case:
    """Operands that must all be true, and what follows from that.

    why: the reason for which they cannot be, "" where they may.
    """

    def __init__(self, operands: Sequence[Node], values: Values, given: Given) -> None:
        self._operands = operands
        self._values = values
        self._given = given
        self._shapes = {values.about(node).shape for node in operands}
        self._bounds = [bound for node in operands if (bound := values.about(node).bound) is not None]
        self._needed = {place for node in operands for place in needs(node)}
        self._choices = [*_given(given), *(choice for node in operands if (choice := values.choice(node)))]
        self._left: dict[Path, list[Value]] = {}
        self.why = next(self._reasons(), "")

    def also(self, other: Case) -> Case:
        """Both at once."""
        return Case([*self._operands, *other._operands], self._values, self._given)

    def _reasons(self) -> Iterator[str]:
        """Everything that makes the case impossible."""
        for node in self._operands:
            if self._values.about(node).reads == frozenset() and self._values.fixed(node) is not True:
                yield "a part of the condition is never true, whatever the message"
            if (
                isinstance(node, Unary)
                and node.operator == "!"
                and self._values.about(node.operand).shape in self._shapes
            ):
                yield "it asks for something and for its opposite"
            if why := mismatch(node):
                yield why
        for choice in self._choices:
            left = self._left.setdefault(choice.path, [])
            left[:] = [value for value in choice.values if self._fits(choice.path, value)]
            if not left:
                yield self._nothing_left(choice.path)
        for path in {bound.path for bound in self._bounds}:
            if not possible([bound for bound in self._bounds if bound.path == path]):
                yield f"no number fulfils all that it asks of {written(path)}"

    def _nothing_left(self, path: Path) -> str:
        if self._given.get(path) == (ABSENT,):
            return f"no message of its sources has {written(path)}"
        if path in self._given:
            known = ", ".join(map(str, self._given[path]))
            return f"{written(path)} is never what it asks for; it is one of {known}"
        return f"no value of {written(path)} fulfils all that it asks of it"

    def _fits(self, path: Path, value: Value) -> bool:
        """Whether no operand that depends on this place alone stands against the value."""
        if value is ABSENT and self._needs(path):
            return False
        return all(self._values.holds(node, path, value) for node in self._depending_on(path))

    def _depending_on(self, path: Path) -> list[Node]:
        """The operands that depend on this place, and on nothing else."""
        return [node for node in self._operands if self._values.about(node).root[: len(path)] == path]

    def _needs(self, path: Path | None) -> bool:
        """Whether something has to stand at the place."""
        return path is not None and any(place[: len(path)] == path for place in self._needed)

    def implies(self, node: Node) -> bool:
        """Whether the condition is certainly true when this case is."""
        if self._values.about(node).shape in self._shapes:
            return True
        if isinstance(node, Logic):
            return (any if node.operator == "||" else all)(map(self.implies, node.operands)) or self._by_value(node)
        if is_has(node):
            (field,) = parts_of(node)
            return self._needs(place_of(field)) or self._by_value(node)
        return self._by_value(node) or self._by_bounds(self._values.about(node).bound)

    def _by_value(self, node: Node) -> bool:
        """True for each of the few values that this case leaves at the place that it depends on."""
        root = self._values.about(node).root
        paths = (root[:length] for length in range(1, len(root) + 1))
        return any(
            all(self._values.holds(node, path, value) for value in self._left[path])
            for path in paths
            if path in self._left
        )

    def _by_bounds(self, wanted: Bound | None) -> bool:
        if wanted is None:
            return False
        mine = [bound for bound in self._bounds if bound.path == wanted.path]
        return bool(mine) and all(
            wanted.holds(point) for point in points([*mine, wanted]) if all(bound.holds(point) for bound in mine)
        )


def _given(given: Given) -> Iterator[Choice]:
    yield from (Choice(path, values) for path, values in given.items())


def impossible(cases: Sequence[Case]) -> str:
    """Why a condition is never true; "" where it may be."""
    return cases[0].why if all(case.why for case in cases) else ""


def implied(cases: Sequence[Case], operands: Sequence[Node]) -> bool:
    """Whether these operands are all true whenever the condition is."""
    return all(case.implies(node) for case in cases if not case.why for node in operands)


def exclusive(some: Sequence[Case], others: Sequence[Case]) -> bool:
    """Whether two conditions are never true for one message."""
    return all(one.why or other.why or one.also(other).why for one in some for other in others)
