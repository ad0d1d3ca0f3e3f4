"""What kind of value an expression gives whenever it gives one, as far as that is sure; numbers are of one kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridge.routing.syntax import Apply, Binary, ListOf, Literal, Logic, MapOf, Name, Unary
from bridge.routing.values import Uint

if TYPE_CHECKING:
    from bridge.routing.syntax import Node

_LITERALS: Final = {
    bool: "bool",
    int: "number",
    Uint: "number",
    float: "number",
    str: "string",
    bytes: "bytes",
    type(None): "null",
}
_FUNCTIONS: Final = {
    **dict.fromkeys(("size", "int", "uint", "double", "indexOf", "lastIndexOf"), "number"),
    **dict.fromkeys(("string", "hash", "safe_id", "json"), "string"),
    **dict.fromkeys(("lowerAscii", "upperAscii", "trim", "substring", "join", "replace"), "string"),
    **dict.fromkeys(("bool", "has", "startsWith", "endsWith", "contains", "matches"), "bool"),
    **dict.fromkeys(("all", "exists", "exists_one", "existsOne"), "bool"),
    **dict.fromkeys(("map", "filter", "split"), "list"),
    "timestamp": "timestamp",
    "duration": "duration",
}
_NAMES: Final = {"source": "string", "channel": "string", "message_id": "string", "header_values": "map", "ce": "map"}
_COMPARES: Final = {"==", "!=", "<", "<=", ">", ">=", "in"}


def kind_of(node: Node) -> str:
    """``number``, ``string`` …; "" where it may be of several."""
    if isinstance(node, Literal):
        return _LITERALS.get(type(node.value), "")
    if isinstance(node, Name):
        return _NAMES.get(node.name, "")
    if isinstance(node, Apply):
        return _FUNCTIONS.get(node.function, "")
    if isinstance(node, ListOf | MapOf):
        return "list" if isinstance(node, ListOf) else "map"
    is_bool = isinstance(node, Logic) or (isinstance(node, Unary) and node.operator == "!")
    return "bool" if is_bool or (isinstance(node, Binary) and node.operator in _COMPARES) else ""


def mismatch(node: Node) -> str:
    """Why a condition is never true, by the kinds of its values alone; "" where it may be."""
    own = kind_of(node)
    if own not in {"", "bool"}:
        return f"a condition must be a bool, and this is a {own}"
    if not isinstance(node, Binary) or node.operator not in _COMPARES - {"!="}:
        return ""
    left, right = kind_of(node.left), kind_of(node.right)
    if node.operator == "in":
        return f"nothing is in a {right}" if right not in {"", "list", "map"} else ""
    if left and right and left != right:
        return f"a {left} is never {_WORDS[node.operator]} a {right}"
    return ""


_WORDS: Final = {"==": "equal to", "<": "less than", "<=": "less than", ">": "greater than", ">=": "greater than"}
