"""Questions to the tree of an expression: which fields it reads, which of them must be there, what is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridge.routing.macros import MACROS
from bridge.routing.syntax import Apply, Binary, Index, Literal, Logic, MapOf, Select, Ternary, Unary, parts_of
from bridge.routing.template import path_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.routing.syntax import Node

Path = tuple[str | int, ...]  # the variable, then fields and places
Shape = tuple[object, ...]
_BOUND: Final = {name for name in MACROS if name not in {"orValue", "or"}}  # macros with a variable of their own
_SYMMETRIC = {"==", "!="}


def shape(node: Node) -> Shape:
    """The same for two expressions that are written alike, wherever they stand: white space, quotes, ``a == b``."""
    path = path_of(node)
    if path is not None:
        return ("path", *path)
    if isinstance(node, Literal):
        return ("literal", type(node.value).__name__, repr(node.value))
    parts = tuple(map(shape, parts_of(node)))
    if isinstance(node, Binary) and node.operator in _SYMMETRIC:
        parts = tuple(sorted(parts, key=repr))
    return (type(node).__name__, *_words(node), *parts)


def _words(node: Node) -> Shape:
    """What a node says besides its parts."""
    if isinstance(node, Apply):
        return (node.function, node.target is None)
    if isinstance(node, Unary | Binary | Logic):
        return (node.operator,)
    if isinstance(node, Select):
        return (node.field, node.optional)
    if isinstance(node, Index):
        return (node.optional,)
    if isinstance(node, MapOf):
        return tuple(optional for _, _, optional in node.entries)
    return tuple(optional for _, optional in getattr(node, "elements", ()))


def below(node: Node) -> Iterator[Node]:
    """A node and everything below it."""
    yield node
    for part in parts_of(node):
        yield from below(part)


def is_has(node: Node) -> bool:
    """``has(a.b)``."""
    return isinstance(node, Apply) and node.function == "has" and node.target is None


def is_macro(node: Node) -> bool:
    """A call with a variable of its own, such as ``list.exists(x, …)``."""
    return isinstance(node, Apply) and node.target is not None and node.function in _BOUND


def place_of(node: Node) -> Path | None:
    """What ``a.b``, ``a.?b`` or ``a[?"b"]`` looks at; None for anything that is no such place."""
    if isinstance(node, Select) and node.optional:
        operand = path_of(node.operand)
        return None if operand is None else (*operand, node.field)
    if isinstance(node, Index) and node.optional and isinstance(node.key, Literal) and type(node.key.value) is str:
        operand = path_of(node.operand)
        return None if operand is None else (*operand, node.key.value)
    return path_of(node)


def reads(node: Node) -> frozenset[Path] | None:
    """Every place that the value can depend on; None where that cannot be told. Constants of ``vars`` are none."""
    place = place_of(node)
    if place is not None:
        return frozenset() if place[0] == "vars" else frozenset((place,))
    if is_macro(node):
        return None
    found: set[Path] = set()
    for part in parts_of(node):
        inner = reads(part)
        if inner is None:
            return None
        found |= inner
    return frozenset(found)


def needs(node: Node) -> frozenset[Path]:
    """Places without which the expression has no value at all."""
    path = path_of(node)
    if path is not None:
        return frozenset() if path[0] == "vars" else frozenset((path,))
    if isinstance(node, Ternary):
        return needs(node.condition)
    if isinstance(node, Logic) or is_macro(node):
        return frozenset()
    if is_has(node):
        return frozenset(place for part in parts_of(node) for place in needs(part.operand))  # type: ignore[union-attr]
    if isinstance(node, Apply) and node.function in {"orValue", "or"} and node.target is not None:
        return needs(node.target)
    return frozenset(place for part in parts_of(node) for place in needs(part))


def written(path: Path) -> str:
    """``("headers", "x-test")`` -> ``headers["x-test"]``."""
    text = str(path[0])
    for step in path[1:]:
        plain = isinstance(step, str) and step.replace("_", "a").isalnum() and not step[:1].isdigit()
        text += f".{step}" if plain else f'["{step}"]' if isinstance(step, str) else f"[{step}]"
    return text
