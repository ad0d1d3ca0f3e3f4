"""The composition root: builds the parts from the configuration, runs them in one task group, stops them in order."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import structlog

from bridge import parts
from bridge.admin.server import HealthServer, Readiness
from bridge.dispatch.dispatcher import Clock, Dispatcher
from bridge.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.config import Config
    from bridge.supervisor import Supervisor

log = structlog.get_logger(__name__)

LAST_ACKS_SECONDS = 5.0  # for the acknowledgements of what is stored or delivered, after the last request
LEFT_AT_ONCE = 130  # the exit code after a second signal
GC_THRESHOLD = 50_000  # objects made and not freed: several batches
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def now_ms() -> int:
    """Unix epoch, milliseconds."""
    return time.time_ns() // 1_000_000


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

    def __init__(self, config: Config) -> None:
        """Raises ConfigError where files that the configuration names cannot be used."""
        self._config = config
        self._metrics = Metrics()
        self._outbox = parts.outbox(config, now_ms)
        self._clients = parts.clients(config)
        lines = parts.lines(config, self._clients, self._metrics, time.monotonic)
        self._dispatcher = Dispatcher(self._outbox, lines, self._metrics, Clock(now_ms, random.random))
        self._supervisors: Sequence[Supervisor] = parts.supervisors(config, self._outbox, self._metrics, now_ms)
        self._health = HealthServer(config.health, self._metrics, self._readiness)
        self._running = False
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Run until a signal asks to stop. Raises OutboxError, ConfigError; nothing is lost then."""
        self._listen_to_signals()
        _collect_seldom()
        await self._outbox.open()
        try:
            self._announce()
            await self._health.start()
            self._running = True
            log.info("started", sources=list(self._config.sources), outbox=self._config.outbox.type)
            await self._run_halves()
        finally:
            await self._close()
        log.info("stopped")

    def _announce(self) -> None:
        """Let every series that is known from the configuration exist from the start."""
        rules = [(rule.name, parts.operation(rule)) for rule in self._config.rules]
        self._metrics.declare(self._config.sources, rules)
        self._metrics.config_loaded(self._config.digest())
        self._metrics.watch_outbox(self._outbox.depth)

    async def _run_halves(self) -> None:
        try:
            async with asyncio.TaskGroup() as halves:
                intake = [halves.create_task(supervisor.run()) for supervisor in self._supervisors]
                sending = halves.create_task(self._send())
                await self._stopping.wait()
                await self._drain(intake, sending)
        except BaseExceptionGroup as group:
            raise _first(group) from group

    async def _send(self) -> None:
        if self._config.dispatch.enabled:
            await self._dispatcher.run()

    async def _drain(self, intake: Sequence[asyncio.Task[None]], sending: asyncio.Task[None]) -> None:
        """Stop fetching, let calls in flight end, acknowledge; whatever takes longer than the grace is cancelled."""
        log.info("stopping", grace_seconds=self._config.shutdown.grace_seconds)
        for supervisor in self._supervisors:
            supervisor.stop()
        # What the memory outbox has not delivered would be delivered again; a durable one keeps it.
        self._dispatcher.stop(drain=self._config.outbox.type == "memory")
        grace_seconds = self._config.shutdown.grace_seconds
        await asyncio.wait([sending], timeout=grace_seconds)
        # Once nothing is sent any more the memory outbox resolves no further receipts.
        await asyncio.wait(intake, timeout=min(grace_seconds, LAST_ACKS_SECONDS))
        for task in (*intake, sending):
            task.cancel()

    async def _close(self) -> None:
        self._running = False
        await self._outbox.close()
        for client in self._clients.values():
            await client.close()
        await self._health.stop()

    def _readiness(self) -> Readiness:
        return Readiness(started=self._running, waiting_for=("stop",) if self._stopping.is_set() else ())

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        """The first signal drains; a second one leaves at once, which is safe at any moment."""
        if self._stopping.is_set():
            os._exit(LEFT_AT_ONCE)
        self._stopping.set()
