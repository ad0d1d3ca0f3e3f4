"""The tree that the parser makes of an expression, and the error that shows where one is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class ExpressionError(ValueError):
    """An expression that cannot be compiled.

    message: what is wrong. text: the whole expression. position: from 0, in characters.
    As text: the message, the line it is about, and a caret below the place.
    """

    def __init__(self, message: str, text: str, position: int) -> None:
        self.message = message
        self.text = text
        self.position = position
        super().__init__(f"{message}\n{pointer(text, position)}")


def pointer(text: str, position: int) -> str:
    """The line, and the caret below it."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : len(text) if end < 0 else end]
    # A tab stays a tab, so that the caret stands right however wide one is shown.
    indent = "".join("\t" if char == "\t" else " " for char in text[start:position])
    return f"    {line}\n    {indent}^"


class Literal(NamedTuple):
    """A constant: None, bool, int, Uint, float, str or bytes."""

    value: object
    position: int


class Name(NamedTuple):
    """A variable, or the first part of a qualified name; ``.x`` starts at the root."""

    name: str
    position: int
    root: bool = False


class Select(NamedTuple):
    """``operand.field``, or ``operand.?field``."""

    operand: Node
    field: str
    optional: bool
    position: int


class Index(NamedTuple):
    """``operand[key]``, or ``operand[?key]``."""

    operand: Node
    key: Node
    optional: bool
    position: int


class Apply(NamedTuple):
    """``function(arguments)``, or ``target.function(arguments)``."""

    function: str
    target: Node | None
    arguments: tuple[Node, ...]
    position: int


class Unary(NamedTuple):
    """``!operand`` or ``-operand``."""

    operator: str
    operand: Node
    position: int


class Binary(NamedTuple):
    """Arithmetic, comparison and ``in``."""

    operator: str
    left: Node
    right: Node
    position: int


class Logic(NamedTuple):
    """``a && b && …`` or ``a || b || …``; one node for the whole chain."""

    operator: str
    operands: tuple[Node, ...]
    position: int


class Ternary(NamedTuple):
    """``condition ? yes : no``."""

    condition: Node
    yes: Node
    no: Node
    position: int


class ListOf(NamedTuple):
    """``[a, ?b]``."""

    elements: tuple[tuple[Node, bool], ...]  # with: is it optional
    position: int


class MapOf(NamedTuple):
    """``{a: b, ?c: d}``."""

    entries: tuple[tuple[Node, Node, bool], ...]  # key, value, is it optional
    position: int


Node = Literal | Name | Select | Index | Apply | Unary | Binary | Logic | Ternary | ListOf | MapOf


def parts_of(node: Node) -> tuple[Node, ...]:
    """The nodes directly below one, in the order in which they stand."""
    return _PARTS[type(node)](node)


def _apply_parts(node: Apply) -> tuple[Node, ...]:
    return node.arguments if node.target is None else (node.target, *node.arguments)


_PARTS: Final[dict[type, Callable[[Any], tuple[Node, ...]]]] = {
    Literal: lambda _: (),
    Name: lambda _: (),
    Select: lambda node: (node.operand,),
    Index: lambda node: (node.operand, node.key),
    Apply: _apply_parts,
    Unary: lambda node: (node.operand,),
    Binary: lambda node: (node.left, node.right),
    Logic: lambda node: node.operands,
    Ternary: lambda node: (node.condition, node.yes, node.no),
    ListOf: lambda node: tuple(element for element, _ in node.elements),
    MapOf: lambda node: tuple(part for key, value, _ in node.entries for part in (key, value)),
}
