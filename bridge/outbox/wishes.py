"""What operators want done with dead letters: written into the file by a command, done by the process that owns it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.outbox.reader import Reader

SECONDS = 1.0  # between looks; a look is one seek


class Wishes:
    """Looks for wishes now and then, and has them fulfilled."""

    def __init__(self, reader: Reader, fulfil: Callable[[], object]) -> None:
        self._reader = reader
        self._fulfil = fulfil
        self._timer = asyncio.get_running_loop().call_later(SECONDS, self._look)

    def _look(self) -> None:
        if self._reader.is_wished():
            self._fulfil()
        self._timer = asyncio.get_running_loop().call_later(SECONDS, self._look)

    def stop(self) -> None:
        """No timer stays behind."""
        self._timer.cancel()
