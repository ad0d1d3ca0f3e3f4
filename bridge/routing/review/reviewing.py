"""All findings of a set of rules, in the order of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridge.routing.review.absent import absent
from bridge.routing.review.ids import illegal, repeated
from bridge.routing.review.overlapping import overlapping
from bridge.routing.review.unknown import unknown
from bridge.routing.review.unreachable import shadowed, unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bridge.errors import Problem
    from bridge.routing.review.looking import Look

FINDINGS: Final[tuple[Callable[[Sequence[Look]], Iterator[Problem]], ...]] = (
    unreachable,
    shadowed,
    overlapping,
    absent,
    illegal,
    repeated,
    unknown,
)


def review(looks: Sequence[Look]) -> list[Problem]:
    """Everything that is suspicious, with the path of each; nothing of it keeps the rules from being used."""
    return [problem for find in FINDINGS for problem in find(looks)]
