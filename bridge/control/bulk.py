"""Many dead letters, a few at a time and no faster than said: what a command's loop and the admin API's share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridge.control.letters import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PORTIONS_PER_SECOND = 5  # so that progress is seen, and no burst is larger than a fifth of a second's share


class Portion(NamedTuple):
    """The letters that are next, and when."""

    numbers: Sequence[int]
    after_seconds: float  # since the beginning: not before then


def portions(numbers: Sequence[int], per_second: float) -> Iterator[Portion]:
    """All of them in order, at most ``per_second`` on the average; 0: as fast as they can be done."""
    size = AT_ONCE if per_second <= 0 else max(1, min(AT_ONCE, int(per_second / PORTIONS_PER_SECOND)))
    for first in range(0, len(numbers), size):
        yield Portion(numbers[first : first + size], first / per_second if per_second > 0 else 0.0)
