"""When a bridge that reads no more has sent what it can; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bridge.outbox.base import Depth


class Left(NamedTuple):
    """What is still there."""

    reading: int  # sources that have not acknowledged everything yet
    ready: int  # calls that could be sent
    later: int  # calls that wait for their time
    in_flight: int  # requests
    next_due_ms: int | None  # when the first of those that wait may be sent


class Drained(NamedTuple):
    """How it ended."""

    drained: bool  # nothing is left that could have been sent within the time
    ready: int
    later: int
    dead: int  # dead letters kept


def is_drained(left: Left, deadline_ms: int) -> bool:
    """Whether nothing more can be done until the deadline: what is due after it is none of this process's business."""
    if left.reading or left.ready or left.in_flight:
        return False
    return left.next_due_ms is None or left.next_due_ms > deadline_ms


def ended(left: Left, depth: Depth, deadline_ms: int) -> Drained:
    """What somebody is told at the end."""
    return Drained(is_drained(left, deadline_ms), left.ready, left.later, depth.dead)
