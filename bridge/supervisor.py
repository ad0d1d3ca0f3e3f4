"""Keeps one source reading: opens it, reopens it when it is lost, closes it at the end. The only place that does so."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from bridge.errors import SourceLost, SourceStuck
from bridge.intake import Reader
from bridge.sources.progress import looked, stuck

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.caution.caution import Caution
    from bridge.intake import Current
    from bridge.outbox.base import Outbox
    from bridge.sources.base import Source
    from bridge.sources.progress import Since

log = structlog.get_logger(__name__)

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
LOOK_SECONDS = 5.0  # between two looks at how a source stands; each asks its broker
STUCK_SECONDS = 60.0  # the longest that a source may have messages before it and give none


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """One of the exceptions, out of however many groups it is wrapped in."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


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
                await self._read_watched(self._reader)
        except* SourceStuck as why:
            log.warning("source_stuck", source=self.source.name, reason=str(_first(why)))
            self.current.translation.metrics.rebuilt(self.source.name)
        except* SourceLost as lost:
            log.warning("source_lost", source=self.source.name, reason=str(_first(lost)))
        finally:
            self._reader = None
            self.current.translation.metrics.connected(self.source.name, up=False)
            await self.source.close()
        return opened

    async def _read_watched(self, reader: Reader) -> None:
        """Raises SourceLost and SourceStuck, in groups."""
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(reader))
            reading = tasks.create_task(reader.run())
            reading.add_done_callback(lambda _: watching.cancel())

    async def _watch(self, reader: Reader) -> None:
        """Raises SourceStuck when the source has messages before it and gives none, though it is asked for them."""
        now = asyncio.get_running_loop().time
        since: Since = {}
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            since = looked(since, await self.source.standing(), now(), reading=reader.receiving)
            if names := stuck(since, now(), STUCK_SECONDS):
                raise SourceStuck(f"{self.source.name}: messages wait and none comes from {', '.join(names)}")

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
