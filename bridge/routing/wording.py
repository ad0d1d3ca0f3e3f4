"""A node of an expression as text again: what it means, in the ordinary spelling."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from bridge.routing.syntax import (
    Apply,
    Binary,
    Index,
    ListOf,
    Literal,
    Logic,
    MapOf,
    Name,
    Node,
    Select,
    Ternary,
    Unary,
)
from bridge.routing.typed import literal

if TYPE_CHECKING:
    from collections.abc import Callable

_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TERNARY, _SIGN, _MEMBER = 0, 6, 7
_LEVELS: Final = {"||": 1, "&&": 2, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5}  # every other operator is a relation
_RELATION: Final = 3


def wording(node: Node) -> str:
    """The text of a node; parsed again it is the same tree."""
    return _WRITERS[type(node)](node)


def _level(node: Node) -> int:
    if isinstance(node, Ternary):
        return _TERNARY
    if isinstance(node, Logic | Binary):
        return _LEVELS.get(node.operator, _RELATION)
    negative = isinstance(node, Literal) and type(node.value) in {int, float} and wording(node).startswith("-")
    return _SIGN if isinstance(node, Unary) or negative else _MEMBER


def _within(node: Node, level: int) -> str:
    """In parentheses where it binds less than what is around."""
    return wording(node) if _level(node) >= level else f"({wording(node)})"


def _select(node: Select) -> str:
    field = node.field if _WORD.fullmatch(node.field) and node.field != "in" else f"`{node.field}`"
    return f"{_within(node.operand, _MEMBER)}.{'?' if node.optional else ''}{field}"


def _index(node: Index) -> str:
    return f"{_within(node.operand, _MEMBER)}[{'?' if node.optional else ''}{wording(node.key)}]"


def _apply(node: Apply) -> str:
    called = node.function if node.target is None else f"{_within(node.target, _MEMBER)}.{node.function}"
    return f"{called}({', '.join(map(wording, node.arguments))})"


def _unary(node: Unary) -> str:
    inner = node.operand
    doubled = isinstance(inner, Unary) and inner.operator == node.operator and inner.position == node.position
    text = wording(inner) if doubled else _within(inner, _MEMBER)
    if node.operator == "-" and text[0].isdigit():
        return f"-({text})"  # else it would begin with a negative literal
    return node.operator + text


def _binary(node: Binary) -> str:
    level = _level(node)
    return f"{_within(node.left, level)} {node.operator} {_within(node.right, level + 1)}"


def _logic(node: Logic) -> str:
    return f" {node.operator} ".join(_within(operand, _level(node) + 1) for operand in node.operands)


def _ternary(node: Ternary) -> str:
    return f"{_within(node.condition, 1)} ? {_within(node.yes, 1)} : {wording(node.no)}"


def _list(node: ListOf) -> str:
    return f"[{', '.join(('?' if optional else '') + wording(element) for element, optional in node.elements)}]"


def _map(node: MapOf) -> str:
    entries = (f"{'?' if optional else ''}{wording(key)}: {wording(value)}" for key, value, optional in node.entries)
    return f"{{{', '.join(entries)}}}"


_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    Literal: lambda node: literal(node.value),
    Name: lambda node: ("." if node.root else "") + node.name,
    Select: _select,
    Index: _index,
    Apply: _apply,
    Unary: _unary,
    Binary: _binary,
    Logic: _logic,
    Ternary: _ternary,
    ListOf: _list,
    MapOf: _map,
}
