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
# How long a source that goes on after a pause waits for what it had read before it. With the memory outbox that may be
# long in delivery, and a broker gives again what is not acknowledged.
LAST_ACKS_SECONDS = 5.0
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
        self._going = asyncio.Event()  # not paused by an operator; set at the end, too
        self._going.set()
        self._reader: Reader | None = None
        self._reading: asyncio.Task[None] | None = None  # of the reader, until everything is acknowledged
        self._opening: asyncio.Task[None] | None = None
        self._lost = ""  # why, as long as it is not open again

    @property
    def trouble(self) -> str:
        """Why it does not read, in the words of its broker or schema registry; "": it does, or nobody has told."""
        return self._lost if self._reader is None else self._reader.waits_for

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
        while await self._may_go():
            if await self._read():
                wait_seconds = FIRST_WAIT_SECONDS
            if self._stopping.is_set() or not self._going.is_set():
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_seconds * (0.5 + self._random() / 2))
            wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)
            self.current.translation.metrics.reconnected(self.source.name)

    async def _may_go(self) -> bool:
        """Wait while the source is paused; False once it has been stopped."""
        await self._going.wait()
        return not self._stopping.is_set()

    def pause(self) -> None:
        """Let go of the broker until ``resume``; what was read is still stored and acknowledged."""
        if not self._stopping.is_set():
            self._going.clear()
            self._interrupt()

    def resume(self) -> None:
        """Read again."""
        self._going.set()
        if self._reading is not None:
            asyncio.get_running_loop().call_later(LAST_ACKS_SECONDS, self._reading.cancel)

    @property
    def is_paused(self) -> bool:
        """Whether an operator wants it so."""
        return not self._going.is_set()

    def stop(self) -> None:
        """Fetch no more."""
        self._stopping.set()
        self._going.set()
        self._interrupt()

    def _interrupt(self) -> None:
        for running in (self._opening, self._reader):
            if running is not None:
                running.cancel() if isinstance(running, asyncio.Task) else running.stop()

    async def _read(self) -> bool:
        """Open the source and read it until it is lost or stopped; returns whether it could be opened."""
        opened = False
        try:
            opened = await self._open()
            if opened and not self._stopping.is_set() and self._going.is_set():
                self._reader = Reader(self.source, self.current, self._outbox, self._caution, self._random)
                await self._read_watched(self._reader)
        except* SourceStuck as why:
            self._lost = str(_first(why))
            log.warning("source_stuck", source=self.source.name, reason=self._lost)
            self.current.translation.metrics.rebuilt(self.source.name)
        except* SourceLost as lost:
            self._lost = str(_first(lost))
            log.warning("source_lost", source=self.source.name, reason=self._lost)
        finally:
            self._reader = None
            self.current.translation.metrics.connected(self.source.name, up=False)
            await self.source.close()
        return opened

    async def _read_watched(self, reader: Reader) -> None:
        """Raises SourceLost and SourceStuck, alone or in groups.

        Not a task group: one that is cancelled says nothing of it where one of its tasks fails meanwhile, and a source
        may take being cancelled for its loss. Then it would be opened again by a process that has to end.
        """
        reading = self._reading = asyncio.create_task(reader.run())
        watching = asyncio.create_task(self._watch(reader, reading))
        reading.add_done_callback(lambda _: watching.cancel())
        both = (watching, reading)
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)
        errors = [task.exception() for task in both if not task.cancelled()]
        for error in filter(None, errors):
            raise error

    async def _watch(self, reader: Reader, reading: asyncio.Task[None]) -> None:
        """Raises SourceStuck when the source has messages before it and gives none, though it is asked for them."""
        now = asyncio.get_running_loop().time
        since: Since = {}
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            standings = await self.source.standing()
            if reading.done():
                return  # cancelled; a broker's client that is just losing its connection takes that for its own end
            since = looked(since, standings, now(), reading=reader.receiving)
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
        self._lost = ""
        log.info("source_opened", source=self.source.name)
        self.current.translation.metrics.connected(self.source.name, up=True)
        return True
