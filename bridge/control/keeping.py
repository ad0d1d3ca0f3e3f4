"""Where pauses and deeds are kept: in the outbox file, or for a memory outbox as long as the process lives."""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Protocol

from bridge.outbox.overview import Deed, Paused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.control.diary import Act, Diary
    from bridge.outbox.store import Store

DEEDS_KEPT = 1_000  # by a process without a file; all of them are in the log
LAST = (1 << 63) - 1  # no number is above it


class Keeping(Protocol):
    """One place."""

    async def pauses(self) -> Sequence[Paused]:
        """All of them."""

    async def pause(self, paused: Paused, act: Act) -> None:
        """Keep it, and who did it."""

    async def resume(self, kind: str, name: str, act: Act) -> bool:
        """Forget it, and keep who did it; whether it was there."""

    async def note(self, act: Act) -> None:
        """Keep who did something else."""

    async def deeds(self, before: int | None, limit: int) -> Sequence[Deed]:
        """The last first, with a number below ``before``."""


class InFile:
    """The tables of the outbox file."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary

    async def pauses(self) -> Sequence[Paused]:
        """See Keeping."""
        return await self._diary.look(lambda store: store.logbook.pauses())

    async def pause(self, paused: Paused, act: Act) -> None:
        """See Keeping."""

        def run(store: Store) -> tuple[None, Act]:
            store.logbook.pause(paused)
            return None, act

        await self._diary.do(run)

    async def resume(self, kind: str, name: str, act: Act) -> bool:
        """See Keeping."""

        def run(store: Store) -> tuple[bool, Act | None]:
            was = store.logbook.resume(kind, name)
            return was, act if was else None

        return await self._diary.do(run)

    async def note(self, act: Act) -> None:
        """See Keeping."""
        await self._diary.do(lambda _: (None, act))

    async def deeds(self, before: int | None, limit: int) -> Sequence[Deed]:
        """See Keeping."""
        return await self._diary.look(lambda store: store.logbook.deeds(LAST if before is None else before, limit))


class InMemory:
    """The process itself."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._pauses: dict[tuple[str, str], Paused] = {}
        self._deeds: deque[Deed] = deque(maxlen=DEEDS_KEPT)
        self._numbers = count(1)

    async def pauses(self) -> Sequence[Paused]:
        """See Keeping."""
        return sorted(self._pauses.values())

    async def pause(self, paused: Paused, act: Act) -> None:
        """See Keeping."""
        self._pauses[paused.kind, paused.name] = paused
        await self.note(act)

    async def resume(self, kind: str, name: str, act: Act) -> bool:
        """See Keeping."""
        was = self._pauses.pop((kind, name), None) is not None
        if was:
            await self.note(act)
        return was

    async def note(self, act: Act) -> None:
        """See Keeping."""
        self._deeds.append(Deed(next(self._numbers), self._now_ms(), *act))
        act.tell()

    async def deeds(self, before: int | None, limit: int) -> Sequence[Deed]:
        """See Keeping."""
        return [deed for deed in reversed(self._deeds) if before is None or deed.number < before][:limit]
