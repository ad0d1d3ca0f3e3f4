"""What the memory outbox knows of partitions: only what the broker may forget counts as stored."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from bridge.message import Stored

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping

    from bridge.message import Position
    from bridge.outbox.base import Intake


class _Partition:
    """One partition: batches on their way, in order, and what came before them."""

    __slots__ = ("committed", "delivered", "under_way")

    def __init__(self) -> None:
        self.committed: int | None = None
        self.delivered: Position | None = None
        self.under_way: deque[tuple[Position, asyncio.Future[None]]] = deque()

    def advance(self) -> None:
        """Take in the unbroken run of batches whose receipts have resolved."""
        while self.under_way and _resolved(self.under_way[0][1]):
            self.delivered = self.under_way.popleft()[0]


def _resolved(done: asyncio.Future[None]) -> bool:
    return done.done() and not done.cancelled() and done.exception() is None


class MemoryPositions:
    """``Positions`` of one process. Losing it loses nothing: the broker gives the messages again."""

    def __init__(self) -> None:
        self._sources: defaultdict[str, dict[str, _Partition]] = defaultdict(dict)

    def _partition(self, source: str, name: str) -> _Partition:
        return self._sources[source].setdefault(name, _Partition())

    def add(self, intake: Intake, done: asyncio.Future[None]) -> None:
        """A batch came; ``done`` is its receipt's future."""
        for name, position in intake.positions.items():
            partition = self._partition(intake.source, name)
            partition.advance()
            partition.under_way.append((position, done))

    def stored(self, source: str, partitions: Iterable[str]) -> dict[str, Stored]:
        """What is known of these partitions."""
        return {name: self._stored(source, name) for name in partitions}

    def _stored(self, source: str, name: str) -> Stored:
        partition = self._sources[source].get(name)
        if partition is None:
            return Stored(None, None)
        partition.advance()
        return Stored(partition.delivered, partition.committed)

    def committed(self, source: str, offsets: Mapping[str, int]) -> None:
        """The broker was told these next offsets."""
        for name, offset in offsets.items():
            self._partition(source, name).committed = offset

    def reset(self, source: str, offsets: Mapping[str, int]) -> None:
        """Forget what was stored; these are the next offsets."""
        for name, offset in offsets.items():
            partition = self._sources[source][name] = _Partition()
            partition.committed = offset

    def withdraw(self, source: str, partitions: Iterable[str]) -> None:
        """What was dropped has to come again: nothing is known of these partitions any more."""
        for name in partitions:
            self._sources[source].pop(name, None)
