"""The attempts of a call, as they are stored with it: the first ones and the last ones, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from bridge.outbox.base import Attempt
from bridge.outbox.bindable import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.outbox.base import Settlement

FIRST, LAST = 5, 15  # attempts kept of each end: how it began, and how it was of late
DETAIL_CHARACTERS = 200


def attempt_of(settlement: Settlement) -> Attempt | None:
    """What is remembered of a verdict; None where no attempt was made."""
    if not settlement.attempted:
        return None
    detail = plain(settlement.detail[:DETAIL_CHARACTERS])
    return Attempt(settlement.settled_ms, settlement.reason, settlement.code, detail)


def with_attempt(history: Sequence[Attempt], settlement: Settlement) -> tuple[Attempt, ...]:
    """The history after this verdict."""
    made = attempt_of(settlement)
    if made is None:
        return tuple(history)
    return (*history[:FIRST], *(*history[FIRST:], made)[-LAST:])


def stored(history: Sequence[Attempt]) -> bytes | None:
    """As it is stored; None for none."""
    return orjson.dumps([tuple(attempt) for attempt in history]) if history else None


def read(column: bytes | None) -> tuple[Attempt, ...]:
    """The inverse."""
    return () if column is None else tuple(Attempt(*values) for values in orjson.loads(column))
