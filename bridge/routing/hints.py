"""What was probably meant by what is no CEL: words of other languages, and fields with a hyphen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridge.routing.syntax import Binary, Name, Select

if TYPE_CHECKING:
    from bridge.routing.generator import Generator
    from bridge.routing.syntax import Node

# What other languages (and YAML 1.1) write for a constant of CEL.
CONSTANTS: Final = {
    **dict.fromkeys(("yes", "on", "True", "TRUE"), "true"),
    **dict.fromkeys(("no", "off", "False", "FALSE"), "false"),
    **dict.fromkeys(("None", "nil", "undefined", "NULL"), "null"),
}
OPERATORS: Final = {"and": "&&", "or": "||", "not": "!", "is": "==", "eq": "==", "ne": "!="}


def operator_hint(word: object) -> str:
    """For a word that stands where an operator is expected; "" where nothing comes to mind."""
    return f"; {word} is written {OPERATORS[word]}" if isinstance(word, str) and word in OPERATORS else ""


def hyphenated(node: Node) -> tuple[Select, str] | None:
    """``headers.x-request-id``, which CEL takes for a subtraction: the field it begins with, and the whole name."""
    names: list[str] = []
    while isinstance(node, Binary) and node.operator == "-" and isinstance(node.right, Name):
        names.insert(0, node.right.name)
        node = node.left
    if not names or not isinstance(node, Select):
        return None
    return node, "-".join([node.field, *names])


def refuse_hyphen(generator: Generator, node: Binary) -> None:
    """Say what was meant where a name with a hyphen has become a subtraction. Raises ExpressionError."""
    found = hyphenated(node)
    if found is None or generator.names.open:
        return
    base, name = found
    unknown = [part for part in _subtracted(node) if not generator.is_variable(part.name)]
    # Headers are no numbers: there a hyphen is a hyphen, whatever is called like the word behind it.
    if unknown or text_of(base.operand) in {"headers", "header_values", "ce"}:
        what = f"no variable {unknown[0].name}" if unknown else f"this subtracts {name.rpartition('-')[2]}"
        written = f'{text_of(base.operand)}["{name}"]'
        position = unknown[0].position if unknown else node.position
        generator.fail(f"{what}; a field with a hyphen is written {written}", position)


def _subtracted(node: Node) -> list[Name]:
    """What is subtracted, in order."""
    if not isinstance(node, Binary) or not isinstance(node.right, Name):
        return []
    return [*_subtracted(node.left), node.right]


def text_of(node: Node) -> str:
    """``a.b.c`` as it is written; "" for anything but names and fields."""
    if isinstance(node, Name):
        return node.name
    operand = text_of(node.operand) if isinstance(node, Select) and not node.optional else ""
    return f"{operand}.{node.field}" if operand and isinstance(node, Select) else ""
