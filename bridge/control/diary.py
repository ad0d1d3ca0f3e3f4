"""Who did what to this bridge, and when: a line of the log, and a row beside what was done, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.outbox.store import Store

log = structlog.get_logger(__name__)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
NUMBERS_SHOWN = 20  # of dead letters, in the text of a deed
NAME_CHARACTERS = 200  # of who did something


class Ask(Protocol):
    """``SqliteOutbox.ask``: what a function of the store returns, once the disk has what it did."""

    async def __call__(self, run: Callable[[Store], T]) -> T:
        """Raises OutboxError."""


class Act(NamedTuple):
    """Something that an operator does, as it is told."""

    who: str
    what: str  # a bounded code: "redrive", "discard" …
    subject: str
    detail: str = ""

    def tell(self) -> None:
        """Write the line of the log."""
        log.info("operator_acted", who=self.who, what=self.what, subject=self.subject, detail=self.detail)


class Diary:
    """Has things done in the outbox, and notes them there."""

    def __init__(self, ask: Ask, now_ms: Callable[[], int]) -> None:
        self._ask = ask
        self._now_ms = now_ms

    async def look(self, run: Callable[[Store], T]) -> T:
        """Something that changes nothing."""
        return await self._ask(run)

    async def do(self, run: Callable[[Store], tuple[T, Act | None]]) -> T:
        """Do it, and note the act that it gives; None: nothing was done."""
        at_ms = self._now_ms()

        def both(store: Store) -> tuple[T, Act | None]:
            result, act = run(store)
            if act is not None:
                store.logbook.note(at_ms, act.who[:NAME_CHARACTERS], *act[1:])
            return result, act

        result, act = await self._ask(both)
        if act is not None:
            act.tell()
        return result


def numbered(numbers: list[int]) -> str:
    """Such as: dead letters 5, 6, 9 and 12 more."""
    shown = ", ".join(map(str, numbers[:NUMBERS_SHOWN]))
    more = len(numbers) - NUMBERS_SHOWN
    return f"dead letter{'s' * (len(numbers) != 1)} {shown}" + (f" and {more} more" if more > 0 else "")
