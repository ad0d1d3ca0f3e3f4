"""Fields that no message has by the schema of its source: a word that was mistyped, or a field that is gone."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from bridge.routing.parser import parse
from bridge.routing.review.trees import is_macro, place_of, written
from bridge.routing.syntax import parts_of
from bridge.routing.template import leaves_of, pieces_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.errors import Problem
    from bridge.routing.review.looking import Fields, Look
    from bridge.routing.review.trees import Path
    from bridge.routing.syntax import Node

_BARE = ("when", "for_each", "lane", "not_before")


def unknown(looks: Sequence[Look]) -> Iterator[Problem]:
    """Each such field once for every field of a rule; nothing where the schema of one of its sources is not known."""
    for look in looks:
        if not look.fields or any(fields is None for fields in look.fields):
            continue
        known = [fields for fields in look.fields if fields is not None]
        seen: set[tuple[str, Path]] = set()
        for field, path in _reads(look):
            wrong = [_missing(path, fields) for fields in known]
            if all(wrong) and (field, path) not in seen:
                seen.add((field, path))
                yield look.finding(field, f"{written(path)} is not in the schema of its source{wrong[0]}")


def _reads(look: Look) -> Iterator[tuple[str, Path]]:
    """Every place in the body that the rule looks at, with the field of the rule that does; elements as places too."""
    elements = _elements(look)
    for field, node in _expressions(look):
        for path in _paths(node):
            if path[0] == "item" and elements is not None:
                yield field, (*elements, 0, *path[1:])
            elif path[0] == "body":
                yield field, path


def _elements(look: Look) -> Path | None:
    """Where the elements of a ``for_each`` are, if it does no more than read them."""
    text = look.settings.for_each
    place = place_of(parse(text)) if text is not None else None
    return place if place is not None and place[0] == "body" else None


def _expressions(look: Look) -> Iterator[tuple[str, Node]]:
    for field in _BARE:
        text = getattr(look.settings, field)
        if text is not None:
            yield field, parse(text)
    if look.action is None:
        return
    for name in ("workflow", "id", "type", "params", "payload"):
        for path, leaf in leaves_of(getattr(look.action, name, None)):
            for piece in pieces_of(str(leaf)):
                if not isinstance(piece, str):
                    yield f"{look.word}.{name}{path}", piece


def _paths(node: Node) -> Iterator[Path]:
    """The places that an expression reads; what a macro does with its own variable is not looked at."""
    place = place_of(node)
    if place is not None:
        yield place
        return
    parts = parts_of(node)
    for part in parts[:1] if is_macro(node) else parts:
        yield from _paths(part)


def _missing(path: Path, fields: Fields) -> str:
    """What to say where a schema has no such place, with the name that was probably meant; "" where it may have it."""
    below = fields
    for step in path[1:]:
        close = get_close_matches(str(step), below.names, 1) if isinstance(step, str) else []
        found = below.below(step)
        # Where other fields are allowed, only one that looks like a known one is suspicious.
        if step not in below.names and (found is None or close):
            hint = f"; did you mean {close[0]}?" if close else f"; there are {_listed(below)}" if below.names else ""
            return f": no {step}{hint}"
        if found is None:
            return ""
        below = found
    return ""


def _listed(fields: Fields) -> str:
    names = sorted(fields.names)
    return ", ".join(names[:10]) + (" …" if len(names) > 10 else "")  # noqa: PLR2004
