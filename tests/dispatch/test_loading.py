from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from bridge.dispatch.loading import CHUNK_ENTRIES, LOADED_ENTRIES, Loader
from tests.dispatch.entries import entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.outbox.base import Entry, Queue


class EndlessOutbox:
    """Whatever is asked for, there is more of it that is due."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def queues(self) -> Sequence[Queue]:
        return []

    def next_due_ms(self) -> int | None:
        return 0

    async def due(self, _now_ms: int, limit: int) -> Sequence[Entry]:
        return [entry(number, f"i-{number}") for number in (next(self._numbers) for _ in range(limit))]


def test_what_is_due_is_loaded_up_to_a_bound() -> None:
    """A backlog of delayed calls does not come into memory as a whole, and the loop does not spin for it."""
    loader = Loader(EndlessOutbox())  # type: ignore[arg-type]  # what refill asks of it

    async def refill() -> None:
        for _ in range(100):
            await loader.refill(0)

    asyncio.run(refill())
    loaded = sum(window.size for window in loader.windows.values())
    assert LOADED_ENTRIES <= loaded < LOADED_ENTRIES + CHUNK_ENTRIES
    assert loader.next_due_ms() is None
