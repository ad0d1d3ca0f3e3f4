"""What the SQLite outbox writes with its next transaction and never begins one for: told offsets, and notes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bridge.outbox.writer import Ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.outbox.store import Store
    from bridge.outbox.writer import Writer


class Aside:
    """Collects it. Lost with the process, it is only older than it could be."""

    def __init__(self) -> None:
        self._committed: dict[str, dict[str, int]] = {}  # source -> partition -> next offset
        self._notes: dict[str, str] = {}
        self._noted: dict[str, str] = {}  # all of them, as of now

    def opened(self, notes: Mapping[str, str]) -> None:
        """The notes that the file has."""
        self._noted = dict(notes)

    def committed(self, source: str, offsets: Mapping[str, int]) -> None:
        """The broker was told these."""
        self._committed.setdefault(source, {}).update(offsets)

    def note(self, name: str, text: str) -> None:
        """Keep a note."""
        self._notes[name] = self._noted[name] = text

    def noted(self, name: str) -> str:
        """The newest note of this name."""
        return self._noted.get(name, "")

    def submit(self, writer: Writer) -> None:
        """Give it to the writer, before the job that begins the transaction."""
        if not self._committed and not self._notes:
            return
        committed, notes = self._committed, self._notes
        self._committed, self._notes = {}, {}

        def write(store: Store) -> None:
            store.committed(committed)
            store.note(notes)

        writer.submit(Ask(asyncio.get_running_loop().create_future(), write))
