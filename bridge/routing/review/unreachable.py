"""Rules that never fire: their condition cannot be true, or an earlier rule always ends it before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.routing.review.conditions import implied, impossible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.errors import Problem
    from bridge.routing.review.looking import Look


def unreachable(looks: Sequence[Look]) -> Iterator[Problem]:
    """Conditions that are never true. Certain."""
    for look in looks:
        if look.dead:
            yield look.finding("when", f"this rule never fires: {look.dead}")


def shadowed(looks: Sequence[Look]) -> Iterator[Problem]:
    """Rules that a ``final`` rule before them, or a drop or dead_letter, leaves nothing to. Certain."""
    final: list[Look] = []
    for look in looks:
        if look.dead:
            continue
        covers = {source: _cover(look, source, final) for source in sorted(look.sources)}
        if covers and all(covers.values()):
            names = ", ".join(dict.fromkeys(cover.called for cover in covers.values() if cover is not None))
            yield look.finding("", _WHAT.format(names=names))
        if look.is_final:
            final.append(look)


_WHAT = (
    "this rule never fires: {names} stands before it, is final, and matches whenever this one would; "
    "put this one first, or narrow the other"
)


def _cover(look: Look, source: str, final: Sequence[Look]) -> Look | None:
    """The rule that ends it for every message of the source that this one matches."""
    cases = look.by_source[source]
    if impossible(cases):
        return next((earlier for earlier in final if source in earlier.sources), None)
    return next(
        (earlier for earlier in final if source in earlier.sources and implied(cases, earlier.operands)),
        None,
    )
