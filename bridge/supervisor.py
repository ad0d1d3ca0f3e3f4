"""Keeps one source reading: opens it, reopens it when it is lost, closes it at the end. The only place that does so."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from bridge.errors import SourceLost
from bridge.intake import Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.caution.caution import Caution
    from bridge.intake import Current
    from bridge.outbox.base import Outbox
    from bridge.sources.base import Source

log = structlog.get_logger(__name__)

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0


class Supervisor:
    """One source, from the start of the bridge to its end."""

    def __init__(
        self, source: Source, current: Current, outbox: Outbox, caution: Caution, random: Callable[[], float]
    ) -> None:
        self.source = source
        self.current = current
        self._outbox = outbox
        self._caution = caution
        self._random = random  # uniform in [0, 1)
        self._stopping = asyncio.Event()
        self._reader: Reader | None = None
        self._opening: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Return after ``stop``, when what was read has been acknowledged."""
        self._caution.open()
        try:
            await self._run()
        finally:
            self._caution.close()
            await self.current.translation.decoder.close()

    async def _run(self) -> None:
        wait_seconds = FIRST_WAIT_SECONDS
        while not self._stopping.is_set():
            if await self._read():
                wait_seconds = FIRST_WAIT_SECONDS
            if self._stopping.is_set():
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_seconds * (0.5 + self._random() / 2))
            wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)
            self.current.translation.metrics.reconnected(self.source.name)

    def stop(self) -> None:
        """Fetch no more."""
        self._stopping.set()
        for running in (self._opening, self._reader):
            if running is not None:
                running.cancel() if isinstance(running, asyncio.Task) else running.stop()

    async def _read(self) -> bool:
        """Open the source and read it until it is lost or stopped; returns whether it could be opened."""
        opened = False
        try:
            opened = await self._open()
            if opened and not self._stopping.is_set():
                self._reader = Reader(self.source, self.current, self._outbox, self._caution, self._random)
                await self._reader.run()
        except* SourceLost as lost:
            log.warning("source_lost", source=self.source.name, reason=str(lost.exceptions[0]))
        finally:
            self._reader = None
            self.current.translation.metrics.connected(self.source.name, up=False)
            await self.source.close()
        return opened

    async def _open(self) -> bool:
        """Returns False when it was stopped meanwhile. Raises SourceLost."""
        self._opening = asyncio.create_task(self.source.open())
        try:
            await asyncio.wait([self._opening])
            if self._opening.cancelled():
                return False
            self._opening.result()
        finally:
            self._opening.cancel()
            self._opening = None
        log.info("source_opened", source=self.source.name)
        self.current.translation.metrics.connected(self.source.name, up=True)
        return True
