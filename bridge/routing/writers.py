"""The source of each kind of node; see ``generator.py`` for what it must keep to."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NoReturn

from bridge.errors import RuleError
from bridge.routing.functions import FUNCTIONS, METHODS, NAMESPACES, TYPE_NAMES, Function
from bridge.routing.generator import BOOL, OTHER, SAFE, TEXT, Code
from bridge.routing.hints import CONSTANTS, refuse_hyphen
from bridge.routing.macros import MACROS, has
from bridge.routing.strings import regex
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
from bridge.routing.times import parse_duration, parse_timestamp
from bridge.routing.values import TYPES, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.routing.generator import Generator

_BINARY = {
    "+": ("h_add", OTHER),
    "-": ("h_subtract", OTHER),
    "*": ("h_multiply", OTHER),
    "/": ("h_divide", OTHER),
    "%": ("h_remainder", OTHER),
    "<": ("h_less", BOOL),
    "<=": ("h_less_equal", BOOL),
    ">": ("h_greater", BOOL),
    ">=": ("h_greater_equal", BOOL),
    "in": ("h_contained", BOOL),
}


_LITERALS: dict[str, Callable[[str], Value]] = {
    "matches": regex,
    "timestamp": parse_timestamp,
    "duration": parse_duration,
}


def _literal(generator: Generator, node: Literal) -> Code:
    value = node.value
    if value is None or isinstance(value, bool):
        return Code(repr(value), BOOL if value is not None else SAFE)
    if type(value) is int:
        # True == 1 and False == 0 for Python, so these two need CEL's own equality.
        return Code(f"({value!r})", OTHER if value in {0, 1} else SAFE)
    kind = TEXT if type(value) is str else SAFE if type(value) is bytes else OTHER
    return Code(generator.constant(value), kind)


def _name(generator: Generator, node: Name) -> Code:
    if node.name in generator.bound and not node.root:
        return Code(generator.bound[node.name])
    variable = generator.names.variables.get(node.name)
    if variable is not None:
        return Code(variable.source, TEXT if variable.is_text else OTHER)
    if node.name in TYPE_NAMES:
        return Code(generator.constant(TYPE_NAMES[node.name]))
    if generator.names.open:
        return Code(f"h_variable(env, {generator.constant(node.name)})")
    return _unknown(generator, node)


def _unknown(generator: Generator, node: Name) -> NoReturn:
    known = [*generator.names.variables, *generator.bound]
    close = get_close_matches(node.name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
    if node.name in CONSTANTS:
        hint = f'did you mean {CONSTANTS[node.name]}, or the text "{node.name}"?'
    generator.fail(f"no variable {node.name}; {hint}", node.position)


def _select(generator: Generator, node: Select) -> Code:
    known = TYPES.get(_dotted(node))
    if known is not None and not generator.is_variable(_dotted(node).partition(".")[0]):
        return Code(generator.constant(known))
    if generator.names.open and _dotted(node) and not _begins_bound(generator, node):
        return Code(f"h_qualified(env, {generator.constant(tuple(_dotted(node).split('.')))})")
    operand, field = generator.source(node.operand), generator.constant(node.field)
    if node.optional:
        return Code(f"h_select_optional({operand}, {field})")
    values = generator.names.constants.get(operand)
    if isinstance(values, dict):
        return _known(generator, values, node)
    # Python warns about the element of a literal, which is an error in any case.
    careful = generator.exact or isinstance(node.operand, Literal)
    return Code(f"h_select({operand}, {field})" if careful else f"{operand}[{field}]")


def _known(generator: Generator, values: dict[str, Value], node: Select) -> Code:
    """A field of a variable that is known now, such as ``vars``."""
    if node.field not in values:
        name = node.operand.name if isinstance(node.operand, Name) else ""
        generator.fail(f"{name} has no {node.field}; it has {', '.join(sorted(values)) or 'nothing'}", node.position)
    value = values[node.field]
    return Code(generator.constant(value), TEXT if type(value) is str else OTHER)


def _index(generator: Generator, node: Index) -> Code:
    operand, key = generator.source(node.operand), generator.code(node.key)
    if node.optional:
        return Code(f"h_index_optional({operand}, {key.source})")
    if key.kind == TEXT and not generator.exact and not isinstance(node.operand, Literal):
        return Code(f"{operand}[{key.source}]")
    return Code(f"h_index({operand}, {key.source})")


def _apply(generator: Generator, node: Apply) -> Code:
    if node.target is None and node.function == "has":
        return Code(has(generator, node), BOOL)
    macro = MACROS.get(node.function) if node.target is not None else None
    if macro is not None:
        return Code(macro(generator, node))
    _check_literals(generator, node)
    name = _qualified(generator, node)
    if name:
        function, arguments = _checked(generator, FUNCTIONS.get(name), name, node.arguments, node)
        return generator.call(name.replace(".", "_"), function, arguments)
    if generator.names.open and (node.target is None or node.function not in METHODS):
        return Code(f"h_no_function({generator.constant(node.function)})")
    if node.target is None:
        generator.fail(f"no function {node.function}", node.position)
    everything = (node.target, *node.arguments)
    function, arguments = _checked(generator, METHODS.get(node.function), node.function, everything, node)
    return generator.call(f"m_{node.function}", function, arguments)


def _check_literals(generator: Generator, node: Apply) -> None:
    """What cannot work for any message is said now."""
    check = _LITERALS.get(node.function)
    last = node.arguments[-1] if node.arguments else None
    if check is not None and isinstance(last, Literal) and type(last.value) is str:
        try:
            check(last.value)
        except RuleError as error:
            generator.fail(str(error), last.position)


def _qualified(generator: Generator, node: Apply) -> str:
    """The name in the table of functions, "" where the call is a method's."""
    if node.target is None:
        return node.function if node.function in FUNCTIONS else ""
    target = node.target
    if isinstance(target, Name) and target.name in NAMESPACES and not generator.is_variable(target.name):
        return f"{target.name}.{node.function}"
    return ""


def _checked(
    generator: Generator, function: Function | None, name: str, arguments: Sequence[Node], node: Apply
) -> tuple[Function, list[str]]:
    if function is None:
        close = get_close_matches(name, [*METHODS, *MACROS, *FUNCTIONS], 1)
        generator.fail(f"no function {name}{f'; did you mean {close[0]}?' if close else ''}", node.position)
    if not function.least <= len(arguments) <= function.most:
        generator.fail(f"wrong number of arguments for {name}", node.position)
    return function, [generator.source(argument) for argument in arguments]


def _unary(generator: Generator, node: Unary) -> Code:
    operand = generator.code(node.operand)
    if node.operator == "-":
        return Code(f"h_negate({operand.source})")
    return Code(f"(not {operand.source})" if operand.kind == BOOL else f"h_negated({operand.source})", BOOL)


def _binary(generator: Generator, node: Binary) -> Code:
    if node.operator in {"==", "!="}:
        return _equality(generator, node)
    if node.operator == "+":
        return _sum(generator, node)
    refuse_hyphen(generator, node)
    left = generator.source(node.left)
    if node.operator == "in" and _all_texts(node.right):
        texts = tuple(element.value for element, _ in node.right.elements)  # type: ignore[union-attr]
        return Code(f"({left} in {generator.constant(texts)})", BOOL)
    function, kind = _BINARY[node.operator]
    right = generator.source(node.right)
    return Code(f"{generator.operator(function)}({left}, {right})", kind)


def _equality(generator: Generator, node: Binary) -> Code:
    left, right = generator.code(node.left), generator.code(node.right)
    if {left.kind, right.kind} & {TEXT, SAFE}:
        return Code(f"({left.source} {node.operator} {right.source})", BOOL)
    denied = "not " if node.operator == "!=" else ""
    return Code(f"({denied}{generator.operator('h_equal')}({left.source}, {right.source}))", BOOL)


def _sum(generator: Generator, node: Binary) -> Code:
    operands: list[Node] = [node.right]
    left: Node = node.left
    while isinstance(left, Binary) and left.operator == "+":
        operands.append(left.right)
        left = left.left
    sources = [generator.source(operand) for operand in reversed([*operands, left])]
    function = "h_add" if len(sources) == 2 else "h_total"  # noqa: PLR2004  a pair
    return Code(f"{generator.operator(function)}({', '.join(sources)})")


def _logic(generator: Generator, node: Logic) -> Code:
    if generator.exact:
        operands = ", ".join(f"lambda: {generator.source(operand)}" for operand in node.operands)
        return Code(f"{'h_both' if node.operator == '&&' else 'h_either'}({operands})", BOOL)
    sign = " and " if node.operator == "&&" else " or "
    return Code(f"({sign.join(generator.condition(operand) for operand in node.operands)})", BOOL)


def _ternary(generator: Generator, node: Ternary) -> Code:
    condition, yes, no = generator.condition(node.condition), generator.code(node.yes), generator.code(node.no)
    kind = yes.kind if yes.kind == no.kind else OTHER
    return Code(f"({yes.source} if {condition} else {no.source})", kind)


def _list(generator: Generator, node: ListOf) -> Code:
    if any(optional for _, optional in node.elements):
        pairs = ", ".join(f"({generator.source(element)}, {optional})" for element, optional in node.elements)
        return Code(f"h_list(({pairs},))")
    return Code(f"[{', '.join(generator.source(element) for element, _ in node.elements)}]")


def _map(generator: Generator, node: MapOf) -> Code:
    keys = [key.value for key, _, _ in node.entries if isinstance(key, Literal)]
    texts = {key for key in keys if type(key) is str}
    if len(texts) == len(node.entries) and not any(optional for _, _, optional in node.entries):
        pairs = (f"{generator.source(key)}: {generator.source(value)}" for key, value, _ in node.entries)
        return Code(f"{{{', '.join(pairs)}}}")
    entries = "".join(
        f"({generator.source(key)}, {generator.source(value)}, {optional}), " for key, value, optional in node.entries
    )
    return Code(f"h_map(({entries}))")


WRITERS: Final[dict[type, Callable[[Generator, Value], Code]]] = {
    Literal: _literal,
    Name: _name,
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


def _dotted(node: Node) -> str:
    """``a.b.c`` as text; "" for anything else."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Select) and not node.optional:
        operand = _dotted(node.operand)
        return f"{operand}.{node.field}" if operand else ""
    return ""


def _begins_bound(generator: Generator, node: Node) -> bool:
    """Whether the first part of a dotted name is a macro's variable."""
    while isinstance(node, Select):
        node = node.operand
    return isinstance(node, Name) and not node.root and node.name in generator.bound


def _all_texts(node: Node) -> bool:
    return isinstance(node, ListOf) and all(
        isinstance(element, Literal) and type(element.value) is str and not optional
        for element, optional in node.elements
    )
