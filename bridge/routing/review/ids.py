"""Templates of ids: those that cannot be legal, those that some message will make illegal, those that may collide."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridge.call import IfExists
from bridge.routing.review.trees import below, place_of, shape, written
from bridge.routing.syntax import Apply, Name, parts_of
from bridge.routing.template import constant_text, pieces_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.errors import Problem
    from bridge.routing.review.looking import Look
    from bridge.routing.review.trees import Path
    from bridge.routing.syntax import Node

LONGEST = 100
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_MAKES_LEGAL = {"safe_id", "hash", "size", "int", "uint"}
# Words in the names of fields that hold text of any kind; ids and numbers are left alone.
_FREE_TEXT = re.compile(
    r"(^|_|-)(e?mail|name|title|url|uri|path|subject|address|phone|text|note|message|description|time|date|at)s?$"
    r"|(Email|Name|Url|Path|Address|Phone|At)$",
)
_ALWAYS = {"timestamp": "its text has colons in it", "message_id": "it has slashes in it for Kafka"}
_TEXT = {"key": "a key may be any bytes", "routing_key": "it may have dots in it", "body": "it may be anything"}


def illegal(looks: Sequence[Look]) -> Iterator[Problem]:
    """Ids that the API would refuse: each such call becomes a dead letter, ``invalid_id``."""
    for look in looks:
        text = getattr(look.action, "id", None)
        if text is None or constant_text(text) is not None:
            continue
        pieces = pieces_of(text)
        why = _never_legal(pieces) or _seldom_legal(look, pieces)
        if why:
            yield look.finding(f"{look.word}.id", why)


def repeated(looks: Sequence[Look]) -> Iterator[Problem]:
    """One id for all elements of a ``for_each``."""
    for look in looks:
        create, elements = look.settings.create, look.settings.for_each
        if create is None or create.id is None or elements is None or not starts_once(look):
            continue
        names = {
            node.name
            for piece in pieces_of(create.id)
            if not isinstance(piece, str)
            for node in below(piece)
            if isinstance(node, Name)
        }
        if not names & {"item", "index"}:
            what = f"every element of {elements} gets the same id, and only the first create starts an instance"
            yield look.finding("create.id", f"{what}; put item or index into it, such as {create.id}-${{index}}")


def starts_once(look: Look) -> bool:
    """Whether a second create of an id does nothing; where it does something, the rule says so with if_exists."""
    create = look.settings.create
    return create is not None and create.if_exists in {IfExists.SKIP, IfExists.FAIL}


def _never_legal(pieces: Sequence[str | Node]) -> str:
    """What is wrong with the text around the expressions, whatever they give."""
    fixed = "".join(piece for piece in pieces if isinstance(piece, str))
    wrong = "".join(dict.fromkeys(_ILLEGAL.findall(fixed)))
    ending = "so every call becomes a dead letter (invalid_id)"
    if wrong:
        return f"{wrong!r} cannot stand in an id, {ending}; use letters, digits, _ and -, or safe_id(…) of the whole"
    if isinstance(pieces[0], str) and pieces[0].startswith("-"):
        return f"an id cannot begin with -, {ending}"
    if len(fixed) > LONGEST:
        return f"{len(fixed)} characters beside the expressions, and an id has at most {LONGEST}, {ending}"
    return ""


def _seldom_legal(look: Look, pieces: Sequence[str | Node]) -> str:
    """The first expression that gives text which is no id for some message."""
    for piece in pieces:
        for path in () if isinstance(piece, str) else _shown(piece):
            why, name = _doubt(look, path), written(path)
            if why:
                return f"{name} may give an illegal id: {why}; write ${{safe_id({name})}}"
    return ""


def _shown(node: Node) -> Iterator[Path]:
    """The places whose text is part of what an expression gives."""
    place = place_of(node)
    if place is not None:
        yield place
    elif not (isinstance(node, Apply) and node.function in _MAKES_LEGAL):
        for part in parts_of(node):
            yield from _shown(part)


def _doubt(look: Look, path: Path) -> str:
    name = str(path[0])
    if len(path) == 1 and name == "channel":
        channels = [channel for source in look.channels for channel in source]
        return next((f"{channel!r} is none" for channel in channels if _ILLEGAL.search(channel)), "")
    if len(path) == 1:
        return _ALWAYS.get(name) or _TEXT.get(name, "")
    if name in {"body", "item", "headers", "ce"} and _FREE_TEXT.search(str(path[-1])):
        return "such text may have any characters and any length"
    return ""


def skeleton(text: str) -> tuple[str | None, ...]:
    """What of an id is fixed, with None for each expression."""
    return tuple(piece if isinstance(piece, str) else None for piece in pieces_of(text))


def same_text(some: str, other: str) -> bool:
    """Whether two templates give the same for every message, however they are written."""
    return list(map(_piece, pieces_of(some))) == list(map(_piece, pieces_of(other)))


def _piece(piece: str | Node) -> object:
    return piece if isinstance(piece, str) else shape(piece)
