"""The macros of CEL: what looks like a call but has a variable of its own, or looks at what it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridge.routing.hints import hyphenated, text_of
from bridge.routing.syntax import Apply, Index, Literal, Name, Select

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.routing.generator import Generator
    from bridge.routing.syntax import Node

_WITH_TWO_VARIABLES = 3


def has(generator: Generator, node: Apply) -> str:
    """``has(operand.field)``."""
    hyphen = hyphenated(node.arguments[0]) if len(node.arguments) == 1 else None
    if hyphen is not None:
        operand, name = text_of(hyphen[0].operand), hyphen[1]
        generator.fail(f"a field with a hyphen is written has({operand}.`{name}`)", node.position)
    if len(node.arguments) != 1 or not isinstance(node.arguments[0], Select):
        generator.fail("has() takes one field, such as has(body.total)", node.position)
    selected = node.arguments[0]
    operand = generator.source(selected.operand)
    if selected.optional:
        operand = f"h_select_optional({operand}, {generator.constant(selected.field)})"
        return f"f_has_value({operand})"
    return f"h_has({operand}, {generator.constant(selected.field)})"


def _bound(generator: Generator, variable: Node, parts: tuple[Node, ...], *, condition: bool = False) -> list[str]:
    """Lambdas over the macro's variable."""
    if not isinstance(variable, Name):
        generator.fail("the first argument is the name for an element, such as x", variable.position)
    local = generator.fresh()
    generator.metered = True
    before = dict(generator.bound)
    generator.bound[variable.name] = local
    write = generator.condition if condition else generator.source
    lambdas = [f"lambda {local}: {write(part)}" for part in parts]
    generator.bound = before
    return lambdas


def _over(function: str) -> Callable[[Generator, Apply], str]:
    """A macro of two arguments, the variable and what is made with it."""

    def write(generator: Generator, node: Apply) -> str:
        if len(node.arguments) == _WITH_TWO_VARIABLES:
            generator.fail(f"{node.function} with two variables is not supported", node.position)
        if len(node.arguments) != 2 or node.target is None:  # noqa: PLR2004  variable and expression
            generator.fail(f"{node.function} is written list.{node.function}(x, expression)", node.position)
        target = generator.source(node.target)
        return f"{function}({target}, {_bound(generator, node.arguments[0], node.arguments[1:])[0]})"

    return write


def _map(generator: Generator, node: Apply) -> str:
    if node.target is None or len(node.arguments) != 3:  # noqa: PLR2004  variable, filter, transform
        return _over("h_mapped")(generator, node)
    target = generator.source(node.target)
    predicate, transform = _bound(generator, node.arguments[0], node.arguments[1:])
    return f"h_mapped_where({target}, {predicate}, {transform})"


def _or_value(generator: Generator, node: Apply) -> str:
    if node.target is None or len(node.arguments) != 1:
        generator.fail(f"{node.function} takes one value", node.position)
    default = generator.source(node.arguments[0])
    if node.function == "or":
        return f"h_or_optional({generator.source(node.target)}, lambda: {default})"
    operand, key = _optional_text_key(node.target)
    if operand is not None and not generator.exact:
        return f"h_get({generator.source(operand)}, {generator.constant(key)}, {default})"
    return f"h_or_value({generator.source(node.target)}, lambda: {default})"


def _optional_text_key(node: Node) -> tuple[Node | None, str]:
    """The operand and key of ``operand.?key`` and ``operand[?"key"]``."""
    if isinstance(node, Select) and node.optional:
        return node.operand, node.field
    if isinstance(node, Index) and node.optional and isinstance(node.key, Literal) and type(node.key.value) is str:
        return node.operand, node.key.value
    return None, ""


def _unsupported(generator: Generator, node: Apply) -> str:
    generator.fail(f"{node.function} is not supported", node.position)


MACROS: Final[dict[str, Callable[[Generator, Apply], str]]] = {
    "all": _over("h_every"),
    "exists": _over("h_some"),
    "exists_one": _over("h_exactly_one"),
    "existsOne": _over("h_exactly_one"),
    "filter": _over("h_filtered"),
    "map": _map,
    "optMap": _over("h_opt_map"),
    "optFlatMap": _over("h_opt_flat_map"),
    "orValue": _or_value,
    "or": _or_value,
    "transformList": _unsupported,
    "transformMap": _unsupported,
    "transformMapEntry": _unsupported,
}
