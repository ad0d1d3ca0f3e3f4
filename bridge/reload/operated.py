"""The bridge that runs, as operators work on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from bridge.control.draining import Left, ended, is_drained
from bridge.control.switches import Known, halts, sources
from bridge.errors import OperationRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.config import Config
    from bridge.control.draining import Drained
    from bridge.control.loudness import Loudness
    from bridge.intake import Translation
    from bridge.outbox.base import Outbox
    from bridge.outbox.overview import Paused
    from bridge.reload.live import Live

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.05  # between two looks at what is left


class Operated:
    """A bridge.control.operator.Bridge.

    config: the one in use. now_ms: Unix epoch. stop: what ends the process in order.
    """

    def __init__(
        self,
        live: Live,
        config: Callable[[], Config],
        outbox: Outbox,
        now_ms: Callable[[], int],
        stop: Callable[[], None],
        loudness: Loudness,
    ) -> None:
        self._live = live
        self._config = config
        self._outbox = outbox
        self._now_ms = now_ms
        self._stop = stop
        self._loudness = loudness
        self._draining: asyncio.Task[Drained] | None = None

    @property
    def is_draining(self) -> bool:
        """Whether somebody has asked for it."""
        return self._draining is not None

    def known(self) -> Known:
        """See Bridge."""
        config = self._config()
        return Known(config.sources, [rule.name for rule in config.rules], config.targets)

    def halt(self, paused: Sequence[Paused]) -> None:
        """See Bridge."""
        self._live.halt(halts(paused), sources(paused))

    def loudness(self) -> Loudness:
        """See Bridge."""
        return self._loudness

    async def translation(self, source: str) -> Translation:
        """See Bridge."""
        found = self._live.sources.translation(source)
        if found is None:
            raise OperationRefused(f"its source {source} is not read: add it again, or redrive it as its call")
        return found

    async def drain(self, seconds: float) -> Drained:
        """See Bridge. Asked for again, it ends as it was first asked for."""
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(seconds))
        return await asyncio.shield(self._draining)

    async def _drain(self, seconds: float) -> Drained:
        log.info("draining", limit_seconds=seconds)
        self._live.sources.stop_all()
        now = asyncio.get_running_loop().time
        until, deadline_ms = now() + seconds, self._now_ms() + int(seconds * 1000)
        while not is_drained(self._left(), deadline_ms) and now() < until:  # noqa: ASYNC110  many things change it
            await asyncio.sleep(min(LOOK_SECONDS, max(until - now(), 0.0)))
        how = ended(self._left(), self._outbox.depth(), deadline_ms)
        log.info("drained", complete=how.drained, ready=how.ready, later=how.later)
        self._stop()
        return how

    def _left(self) -> Left:
        depth = self._outbox.depth()
        reading = sum(not task.done() for task in self._live.sources.tasks)
        return Left(reading, depth.ready, depth.later, self._live.dispatcher.in_flight, self._outbox.next_due_ms())
