"""When a change of the files is to be loaded; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settled:
    """Says when what was seen differs from what is loaded, and is no longer being written."""

    def __init__(self, loaded: Mapping[str, str]) -> None:
        self._loaded = loaded
        self._seen = loaded

    def saw(self, now: Mapping[str, str]) -> bool:
        """Whether to load: it is not what was loaded last, and the same as one look ago.

        A state is said to be loaded once, whether it turned out to be right or not.
        """
        due = now == self._seen != self._loaded
        self._seen = now
        if due:
            self._loaded = now
        return due

    def load(self, now: Mapping[str, str]) -> None:
        """Somebody asked: this state is loaded without waiting."""
        self._loaded = self._seen = now
