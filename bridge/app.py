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
from bridge.console.running import Running
from bridge.console.server import Console
from bridge.control.listener import Listener
from bridge.control.loudness import Loudness
from bridge.control.switches import halts
from bridge.dispatch.timeline import Clock, Timeline
from bridge.dispatch.usefulness import Busy, useful_replicas
from bridge.metrics import Metrics
from bridge.outbox.memory import MemoryOutbox
from bridge.outbox.sqlite import SqliteOutbox
from bridge.reload.generation import Generation
from bridge.reload.live import Live
from bridge.reload.operated import Operated
from bridge.reload.reloader import Reloader
from bridge.tracing.tracer import open_tracer

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.reload.reloader import Watched

log = structlog.get_logger(__name__)

LAST_ACKS_SECONDS = 5.0  # for the acknowledgements of what is stored or delivered, after the last request
FAILED = 1  # the exit code where a half failed and the rest did not end
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


def _later(seconds: float, act: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(seconds, act)


def _clock(times: Times, *, waits: bool) -> Clock:
    """waits: something goes by it that has to take no notice of a clock that is set, and follows it in its own time."""
    if not waits:
        return Clock(times.now_ms, random.random, times.seconds)
    timeline = Timeline(times.now_ms, times.seconds)
    return Clock(timeline.now_ms, random.random, times.seconds, timeline.was_set, timeline.follow)


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
        clock = _clock(times, waits=config.dispatch.enabled)
        self._outbox = parts.outbox(config, clock.now_ms, self._metrics)
        self._tracer = open_tracer(config.tracing)
        shared = parts.Shared(self._outbox, self._metrics, clock, self._tracer)
        self._live = Live(config, shared)
        loudness = Loudness(config.log.level, times.now_ms, _later)
        first = Generation(1, config)
        self._reloader = Reloader(watched, first, self._live, self._metrics, times.now_ms, loudness)
        self._health = HealthServer(config.health, self._metrics, self._readiness, time.monotonic)
        self._stopping = asyncio.Event()
        self._operated = Operated(
            self._live, lambda: self._reloader.config, self._outbox, times.now_ms, self._stopping.set, loudness
        )
        self._operator = parts.operator(self._outbox, self._operated, times.now_ms)
        running = (self._live, self._reloader, self._outbox, self._metrics, self._operator)
        self._watching = parts.watching(
            lambda: self._reloader.config, lambda: self._live.lines, shared,
            lambda workflow: halts(self._operator.switches.paused).stops(workflow),
        )  # fmt: skip
        self._console = Console(config.admin, Running(*running, times.now_ms, times.now_ms()), time.monotonic)
        self._listener = Listener(self._operator, self._console.status)
        self._upkeep = parts.upkeep(config, self._outbox, self._metrics, times.now_ms)
        self._running = False

    async def run(self) -> None:
        """Run until a signal asks to stop. Raises OutboxError, ConfigError; nothing is lost then."""
        self._listen_to_signals()
        _collect_seldom()
        await self._outbox.open()
        try:
            parts.declare_rules(self._config, self._metrics)
            self._metrics.watch.outbox(self._outbox.depth)
            await self._operator.switches.open()
            self._watch_more()
            self._metrics.watch.operators(self._operator.switches.labels)
            await self._health.start()
            await self._console.start()
            await self._listener.start(parts.control_name(self._config, self._health.address[1]))
            self._running = True
            log.info("started", sources=list(self._config.sources), outbox=self._config.outbox.type,
                     digest=self._config.digest())  # fmt: skip
            await self._run_halves()
        finally:
            await self._close()
        log.info("stopped")

    async def _run_halves(self) -> None:
        leaving: asyncio.TimerHandle | None = None
        try:
            async with asyncio.TaskGroup() as halves:
                self._live.start(halves)
                sending = halves.create_task(self._send())
                reloading = halves.create_task(self._reloader.run())
                besides = [halves.create_task(self._upkeep.run()), halves.create_task(self._watch_instances())]
                try:
                    await self._stopping.wait()
                except asyncio.CancelledError:  # one of them has failed, and the others are cancelled
                    leaving = self._leave_in_any_case()
                    raise
                reloading.cancel()
                for task in besides:
                    task.cancel()
                await self._drain(sending)
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            if leaving is not None:
                leaving.cancel()

    def _leave_in_any_case(self) -> asyncio.TimerHandle:
        """A half that does not end when the other one has failed would look alive, and do half of the work."""
        grace_seconds = self._reloader.config.shutdown.grace_seconds
        log.error("half_failed", grace_seconds=grace_seconds)
        return asyncio.get_running_loop().call_later(grace_seconds, os._exit, FAILED)

    async def _send(self) -> None:
        if self._config.dispatch.enabled:
            await self._live.dispatcher.run()

    async def _watch_instances(self) -> None:
        if self._watching is not None and self._config.dispatch.enabled:
            await self._watching.run()

    async def _drain(self, sending: asyncio.Task[None]) -> None:
        """Stop fetching, let calls in flight end, acknowledge; whatever takes longer than the grace is cancelled."""
        grace_seconds = self._reloader.config.shutdown.grace_seconds
        log.info("stopping", grace_seconds=grace_seconds)
        self._live.sources.stop_all()
        # What the memory outbox has not delivered would be delivered again; a durable one keeps it.
        # Who has asked for a drain has waited for it already.
        self._live.dispatcher.stop(drain=self._config.outbox.type == "memory" and not self._operated.is_draining)
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
        await self._console.stop()
        await self._listener.stop()
        await self._outbox.close()
        await self._live.close()
        if self._tracer is not None:
            await self._tracer.close()
        await self._health.stop()

    def _watch_more(self) -> None:
        """What a scrape looks at, beside what the parts tell."""
        outbox = self._outbox
        if isinstance(outbox, SqliteOutbox):
            outbox.counts.wrote = self._metrics.outbox_wrote
            self._metrics.watch.outbox_file(lambda: parts.file_reading(self._config, outbox))
        busy = Busy(time.process_time, time.monotonic)
        self._metrics.watch.useful(lambda: useful_replicas(self._live.load(busy())))

    def _readiness(self) -> Readiness:
        waiting_for = "stop" if self._stopping.is_set() else "drain" if self._operated.is_draining else ""
        return Readiness(started=self._running, waiting_for=(waiting_for,) if waiting_for else ())

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
