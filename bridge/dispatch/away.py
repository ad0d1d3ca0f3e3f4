"""What of one queue is away: given back to the outbox for want of room; remembers, fetches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from bridge.dispatch.window import Kind


class Away:
    """Of which workflows and operations there may be something."""

    def __init__(self, *, unknown: bool = False) -> None:
        """unknown: an earlier process has given something back, and nobody knows what."""
        self._kinds: set[Kind] = set()
        self._unknown = unknown

    def __bool__(self) -> bool:
        return self._unknown or bool(self._kinds)

    def gave(self, kinds: Iterable[Kind]) -> None:
        """Such calls are away, too."""
        self._kinds.update(kinds)

    def has_other(self, without: Collection[Kind]) -> bool:
        """Whether there may be something beside these."""
        return self._unknown or not self._kinds.issubset(without)

    def nothing_but(self, without: Collection[Kind]) -> None:
        """It was looked, and there is nothing beside these any more."""
        self._kinds = set(without) if self._unknown else self._kinds.intersection(without)
        self._unknown = False
