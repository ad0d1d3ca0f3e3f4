"""The composition root: builds the parts from the configuration, runs them in one task group, stops them in order."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import time
from collections.abc import Callable  # noqa: TC003  a field's type
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge import parts
from bridge.admin.server import HealthServer, Readiness
from bridge.dispatch.dispatcher import Clock
from bridge.metrics import Metrics
from bridge.outbox.memory import MemoryOutbox
from bridge.reload.generation import Generation
from bridge.reload.live import Live
from bridge.reload.reloader import Reloader

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.reload.reloader import Watched

log = structlog.get_logger(__name__)

LAST_ACKS_SECONDS = 5.0  # for the acknowledgements of what is stored or delivered, after the last request
LEFT_AT_ONCE = 130  # the exit code after a second signal
GC_THRESHOLD = 50_000  # objects made and not freed: several batches
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def now_ms() -> int:
    """Unix epoch, milliseconds."""
    return time.time_ns() // 1_000_000


class Times(NamedTuple):
    """The clocks of one run; the event loop's own has to go as fast."""

    now_ms: Callable[[], int] = now_ms  # Unix epoch
    seconds: Callable[[], float] = time.monotonic


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """One of the exceptions that ended a task, out of however many groups it is wrapped in."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _collect_seldom() -> None:
    """Let the garbage collector look less often, and never again at what start-up has made.

    A batch is thousands of tuples that live for milliseconds and hold no cycles; at Python's own threshold of 700 the
    collector walks them dozens of times, which cost as much as parsing them.
    """
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)


class App:
    """One bridge, from start to stop."""

    def __init__(self, config: Config, watched: Watched, times: Times = Times()) -> None:  # noqa: B008  a constant
        """watched: where the configuration is from. Raises ConfigError where files that it names cannot be used."""
        self._config = config  # the first one; only the reloader knows the one in use
        self._metrics = Metrics()
        self._outbox = parts.outbox(config, times.now_ms)
        clock = Clock(times.now_ms, random.random)
        self._live = Live(config, parts.Shared(self._outbox, self._metrics, clock, times.seconds))
        self._reloader = Reloader(watched, Generation(1, config), self._live, self._metrics, times.now_ms)
        self._health = HealthServer(config.health, self._metrics, self._readiness, time.monotonic)
        self._running = False
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Run until a signal asks to stop. Raises OutboxError, ConfigError; nothing is lost then."""
        self._listen_to_signals()
        _collect_seldom()
        await self._outbox.open()
        try:
            parts.declare_rules(self._config, self._metrics)
            self._metrics.watch_outbox(self._outbox.depth)
            await self._health.start()
            self._running = True
            log.info("started", sources=list(self._config.sources), outbox=self._config.outbox.type,
                     digest=self._config.digest())  # fmt: skip
            await self._run_halves()
        finally:
            await self._close()
        log.info("stopped")

    async def _run_halves(self) -> None:
        try:
            async with asyncio.TaskGroup() as halves:
                self._live.start(halves)
                sending = halves.create_task(self._send())
                reloading = halves.create_task(self._reloader.run())
                await self._stopping.wait()
                reloading.cancel()
                await self._drain(sending)
        except BaseExceptionGroup as group:
            raise _first(group) from group

    async def _send(self) -> None:
        if self._config.dispatch.enabled:
            await self._live.dispatcher.run()

    async def _drain(self, sending: asyncio.Task[None]) -> None:
        """Stop fetching, let calls in flight end, acknowledge; whatever takes longer than the grace is cancelled."""
        grace_seconds = self._reloader.config.shutdown.grace_seconds
        log.info("stopping", grace_seconds=grace_seconds)
        self._live.sources.stop_all()
        # What the memory outbox has not delivered would be delivered again; a durable one keeps it.
        self._live.dispatcher.stop(drain=self._config.outbox.type == "memory")
        await asyncio.wait([sending], timeout=grace_seconds)
        if sending.done() and isinstance(self._outbox, MemoryOutbox):
            self._outbox.rest()  # what is parked would keep its reader waiting for nothing
        intake = self._live.sources.tasks
        if intake:
            await asyncio.wait(intake, timeout=min(grace_seconds, LAST_ACKS_SECONDS))
        for task in (*intake, sending):
            task.cancel()

    async def _close(self) -> None:
        self._running = False
        await self._outbox.close()
        await self._live.close()
        await self._health.stop()

    def _readiness(self) -> Readiness:
        return Readiness(started=self._running, waiting_for=("stop",) if self._stopping.is_set() else ())

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signalled)
        loop.add_signal_handler(signal.SIGHUP, self._reloader.ask)

    def _signalled(self) -> None:
        """The first signal drains; a second one leaves at once, which is safe at any moment."""
        if self._stopping.is_set():
            os._exit(LEFT_AT_ONCE)
        self._stopping.set()
