"""Why a condition is what it is for a message: the tree of its parts, each with its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from bridge.errors import RuleError
from bridge.routing.macros import MACROS
from bridge.routing.syntax import Apply, ExpressionError, Index, Logic, Name, Select, Ternary, Unary, parts_of
from bridge.routing.typed import literal
from bridge.routing.wording import wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.routing.syntax import Node
    from bridge.routing.values import Value

Evaluate = Callable[["Node"], "Value"]
"""The value of a part for the message. Raises RuleError, and ExpressionError for what is nothing by itself."""

LONGEST: Final = 200  # characters of a value that is shown


class Step(NamedTuple):
    """A part of a condition."""

    text: str
    value: str  # as CEL writes it, cut to LONGEST; or why there is none
    failed: bool  # there is none
    reads: tuple[tuple[str, str], ...] = ()  # what it looked at, such as ("body.total", "-3")
    steps: tuple[Step, ...] = ()  # what it consists of, where that decides


def walk(node: Node, evaluate: Evaluate) -> Step:
    """The steps of a condition."""
    value, failed = _shown(node, evaluate)
    text = wording(node)
    parts = _deciding(node, evaluate)
    if parts:
        return Step(text, value, failed, (), tuple(walk(part, evaluate) for part in parts))
    found = {wording(part): part for part in _reads(node, frozenset())}
    reads = ((name, _shown(part, evaluate)[0]) for name, part in found.items() if name != text)
    return Step(text, value, failed, tuple(reads))


def _shown(node: Node, evaluate: Evaluate) -> tuple[str, bool]:
    try:
        return shortened(evaluate(node)), False
    except RuleError as error:
        return str(error), True
    except ExpressionError as error:
        return error.message, True


def shortened(value: Value) -> str:
    """A value as CEL writes it, cut where it is long. Raises RuleError for what is nested too deeply to be shown."""
    text = literal(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"


def _deciding(node: Node, evaluate: Evaluate) -> Sequence[Node]:
    """The parts whose values make that of the node."""
    if isinstance(node, Logic):
        return node.operands
    if isinstance(node, Unary) and node.operator == "!":
        return [node.operand]
    if isinstance(node, Ternary):
        try:
            return [node.condition, node.yes if evaluate(node.condition) else node.no]
        except RuleError:
            return [node.condition]
    return []


def _reads(node: Node, bound: frozenset[str]) -> Iterator[Node]:
    """The longest ways into the message, but for those through the variable of a macro."""
    root = _root(node)
    if root is not None:
        if root.name not in bound:
            yield node
        return
    if isinstance(node, Apply) and node.function in MACROS and node.target is not None:
        yield from _reads(node.target, bound)
        inside = bound | {argument.name for argument in node.arguments[:1] if isinstance(argument, Name)}
        for argument in node.arguments[1:]:
            yield from _reads(argument, inside)
        return
    if isinstance(node, Apply) and node.function == "has" and node.target is None:
        for argument in node.arguments:
            yield from _reads(argument.operand if isinstance(argument, Select) else argument, bound)
        return
    for part in parts_of(node):
        yield from _reads(part, bound)


def _root(node: Node) -> Name | None:
    """The variable of ``a.b[c]``; None for anything else."""
    while isinstance(node, Select | Index):
        node = node.operand
    return node if isinstance(node, Name) else None
