"""Whether a source gets on: a decision on what was seen of it, look by look. Nobody is asked here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Standing(NamedTuple):
    """Of one partition or queue that is read now."""

    position: int  # changes with everything that is given out
    behind: int  # messages that the broker would give and has not given


Since = dict[str, tuple[int, float]]
"""Of each partition that could go on: its position, and since when it stands there. Seconds of any steady clock."""


def looked(since: Since, standings: Mapping[str, Standing], now: float, *, reading: bool) -> Since:
    """What is known after one more look.

    reading: the reader waits for messages. While it does not, it is the outbox, or a schema registry, that holds it up,
    and no time counts against the source.
    """
    if not reading:
        return {}
    before = {name: known for name, known in since.items() if name in standings}
    return {
        name: before[name] if name in before and before[name][0] == position else (position, now)
        for name, (position, behind) in standings.items()
        if behind > 0
    }


def stuck(since: Since, now: float, seconds: float) -> Sequence[str]:
    """Those that have stood in one place for so long although they could go on."""
    return sorted(name for name, (_, began) in since.items() if now - began >= seconds)
