"""Messages of a batch by their partitions: what is left of it when some of those are another consumer's."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from bridge.outbox.base import Intake


def partition_of(message_id: str) -> str:
    """The name of the partition of a message that has one."""
    return message_id.rpartition("/")[0]


def without(intake: Intake, partitions: Collection[str]) -> Intake:
    """What is left of it."""
    return intake._replace(
        calls=[pair for pair in intake.calls if partition_of(pair[0].id) not in partitions],
        dead=[letter for letter in intake.dead if partition_of(letter.message.id) not in partitions],
        dropped=[drop for drop in intake.dropped if partition_of(drop.message.id) not in partitions],
        positions={name: position for name, position in intake.positions.items() if name not in partitions},
    )


class Withdrawals:
    """Which partitions were taken away while a batch of them waited; keeps one number for each that ever was."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()  # since the start

    def add(self, source: str, partitions: Iterable[str]) -> None:
        """These are another consumer's now."""
        self._counts.update([(source, name) for name in partitions])

    def of(self, intake: Intake) -> dict[str, int]:
        """How often each partition of the batch has been withdrawn; to be compared with what it is later."""
        return {name: self._counts[intake.source, name] for name in intake.positions}

    def left(self, intake: Intake, before: Mapping[str, int]) -> Intake:
        """The batch without the partitions that were withdrawn since: the same object when there are none."""
        if self.of(intake) == before:
            return intake
        gone = {name for name, count in before.items() if self._counts[intake.source, name] != count}
        return without(intake, gone)
