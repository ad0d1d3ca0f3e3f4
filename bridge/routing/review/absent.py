"""Conditions that are false when a field is absent, though they read as if they were true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.routing.equality import operands_of
from bridge.routing.review.trees import below, is_has, needs, place_of, written
from bridge.routing.syntax import Binary, Literal, Logic, Unary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.errors import Problem
    from bridge.routing.review.looking import Look
    from bridge.routing.review.trees import Path
    from bridge.routing.syntax import Node

_MAY_LACK = {"body", "headers", "header_values", "ce"}  # variables whose fields need not be there


def absent(looks: Sequence[Look]) -> Iterator[Problem]:
    """One finding for each rule with such a condition."""
    for look in looks:
        if look.when is None or look.dead:
            continue
        asked = _asked_for(look.when)
        doubtful = dict.fromkeys(
            path for node in below(look.when) for path in _denied(node) if len(path) > 1 and path not in asked
        )
        if doubtful:
            names, asked_for = " or ".join(map(written, doubtful)), _has(next(iter(doubtful)))
            yield look.finding("when", _WHAT.format(names=names, has=asked_for, hasnt=_not(asked_for)))


_WHAT = (
    "a message without {names} does not match, as an absent field makes a condition false; "
    "if it should match, write {hasnt} || …; if not, say so with {has} && …"
)


def _asked_for(node: Node) -> set[Path]:
    """The places about which the condition says somewhere that they are there, or must have something in them."""
    found: set[Path] = set()
    for part in below(node):
        if is_has(part):
            found |= {place for argument in part.arguments if (place := place_of(argument))}  # type: ignore[union-attr]
        if isinstance(part, Binary) and part.operator == "in" and isinstance(part.left, Literal):
            place = place_of(part.right)
            found |= {(*place, str(part.left.value))} if place else set()
    return found.union(*(needs(operand) for operand in operands_of(node) if _is_equality(operand)))


def _is_equality(node: Node) -> bool:
    return isinstance(node, Binary) and node.operator in {"==", "in"}


def _denied(node: Node) -> list[Path]:
    """The places that a ``!``, ``!=`` or ``<`` needs."""
    if isinstance(node, Unary) and node.operator == "!" and not is_has(node.operand):
        found = _all_needs(node.operand)
    elif isinstance(node, Binary) and (node.operator == "!=" or node.operator in _less(node.left)):
        found = needs(node)
    else:
        found = frozenset()
    return sorted((path for path in found if path[0] in _MAY_LACK), key=repr)


def _less(left: Node) -> tuple[str, str]:
    """The operators by which what is no constant is the smaller one."""
    return (">", ">=") if isinstance(left, Literal) else ("<", "<=")


def _all_needs(node: Node) -> frozenset[Path]:
    """Those of each operand, where there are several."""
    if isinstance(node, Logic):
        return frozenset().union(*map(_all_needs, node.operands))
    return needs(node)


def _has(path: Path) -> str:
    last = path[-1]
    plain = isinstance(last, str) and written((last,)) == last and last.replace("_", "a").isalnum()
    return f"has({written(path)})" if plain else f'"{last}" in {written(path[:-1])}'


def _not(asked_for: str) -> str:
    return f"!{asked_for}" if asked_for.startswith("has") else f"!({asked_for})"
