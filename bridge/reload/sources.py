"""The sources that are read now: started, given new rules between two batches, stopped."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge.dispatch.usefulness import Standing
from bridge.metrics import Behind, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from bridge.decoding import Decoder
    from bridge.intake import Translation
    from bridge.metrics import Metrics
    from bridge.sources.base import Source
    from bridge.supervisor import Supervisor

log = structlog.get_logger(__name__)


class _Running(NamedTuple):
    supervisor: Supervisor
    task: asyncio.Task[None]


class Sources:
    """One supervisor per source, each in a task of its own."""

    def __init__(self, metrics: Metrics, now_ms: Callable[[], int]) -> None:
        """now_ms: Unix epoch."""
        self._metrics = metrics
        self._now_ms = now_ms
        self._running: dict[str, _Running] = {}
        self._closed = False
        self._halted: Callable[[str], bool] = lambda _: False

    @property
    def tasks(self) -> Collection[asyncio.Task[None]]:
        """Of the sources that are read, or are stopping."""
        return [running.task for running in self._running.values()]

    def translation(self, name: str) -> Translation | None:
        """The one in force for this source; None where it is not read."""
        running = self._running.get(name)
        return None if running is None else running.supervisor.current.translation

    def trouble(self, name: str) -> str:
        """Why this source does not read, in words of others; "" where it does, or is not meant to."""
        running = self._running.get(name)
        return "" if running is None else running.supervisor.trouble

    def decoder(self, name: str) -> Decoder:
        """Of a source that is read."""
        return self._running[name].supervisor.current.translation.decoder

    def standings(self, fixed: Callable[[str], bool]) -> list[Standing]:
        """How each is read now. fixed: whether the configuration assigns its partitions."""
        return [
            Standing(
                sum(running.supervisor.source.lag.values()),
                len(running.supervisor.source.assigned),
                running.supervisor.is_paused,
                fixed(name),
            )
            for name, running in self._running.items()
        ]

    def start(self, supervisors: Mapping[str, Supervisor], tasks: asyncio.TaskGroup) -> None:
        """Begin to read these; after ``stop_all`` nothing is begun."""
        if self._closed:
            return
        for name, supervisor in supervisors.items():
            self._metrics.declare([name])
            self._metrics.watch.source(name, partial(reading, supervisor.source, self._now_ms))
            if self._halted(name):
                supervisor.pause()
            self._running[name] = _Running(supervisor, tasks.create_task(supervisor.run()))
            self._metrics.source_paused(name, on=supervisor.is_paused)

    def halt(self, halted: Callable[[str], bool]) -> None:
        """An operator has paused the sources of which this is true, and no others; also of those that start later."""
        self._halted = halted
        for name, running in self._running.items():
            if halted(name) != running.supervisor.is_paused:
                running.supervisor.pause() if halted(name) else running.supervisor.resume()
                self._metrics.source_paused(name, on=halted(name))

    def swap(self, renewed: Callable[[str, Translation], Translation], names: Iterable[str]) -> None:
        """From the next batch on these sources have another translation; all of them at once, nothing waits here.

        renewed: gives it, from the source's name and the translation in force.
        """
        for name in names:
            current = self._running[name].supervisor.current
            current.translation = renewed(name, current.translation)

    def stop(self, names: Iterable[str]) -> None:
        """Fetch no more from these; what has been read is still stored and acknowledged."""
        for name in names:
            self._running[name].supervisor.stop()

    def stop_all(self) -> None:
        """Fetch no more from any."""
        self._closed = True
        self.stop(self._running)

    async def ended(self, names: Collection[str], seconds: float) -> None:
        """Return when these, which were stopped, have acknowledged what they had read and are closed.

        Longer than ``seconds`` nobody waits for acknowledgements: the broker then gives those messages again.
        """
        tasks = {self._running[name].task: name for name in names}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            log.warning("source_stopped_early", source=tasks[task], seconds=seconds)
            task.cancel()
        if late:
            await asyncio.wait(late)
        for name in names:
            del self._running[name]
            self._metrics.forget_source(name)


def reading(source: Source, now_ms: Callable[[], int]) -> Reading:
    """What a source tells of itself when somebody scrapes."""
    received_ms, now = source.received_ms, now_ms()
    behind = {
        partition: Behind(messages, _age_seconds(received_ms.get(partition, -1), now) if messages else 0.0)
        for partition, messages in source.lag.items()
    }
    return Reading(len(source.assigned), behind, source.counts)


def _age_seconds(at_ms: int, now_ms: int) -> float:
    """0 for what has no timestamp, or one of the future."""
    return max(now_ms - at_ms, 0) / 1000 if at_ms >= 0 else 0.0
