"""The two halves as they run now, and how they take a new configuration into use."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridge import parts
from bridge.dispatch.dispatcher import Dispatcher
from bridge.dispatch.usefulness import Load, shareable
from bridge.reload.sources import Sources

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from bridge.config import Config
    from bridge.decoding import Decoder
    from bridge.dispatch.gate import Line
    from bridge.dispatch.halting import Halts
    from bridge.intake import Translation
    from bridge.parts import Shared
    from bridge.reload.plan import Plan
    from bridge.supervisor import Supervisor


class Prepared(NamedTuple):
    """Everything new that a plan asks for, made before anything is changed: making it is what can fail."""

    config: Config
    plan: Plan
    supervisors: Mapping[str, Supervisor] = {}
    decoders: Mapping[str, Decoder] = {}  # of sources that go on
    lines: Mapping[str, Line] = {}

    def renewed(self, name: str, old: Translation) -> Translation:
        """The translation of a source that goes on."""
        new = parts.renewed(old, self.config, name)
        return new._replace(decoder=self.decoders.get(name, old.decoder))


class Live:
    """Sources, their translations, and the lines to the targets."""

    def __init__(self, config: Config, shared: Shared) -> None:
        """Raises ConfigError where files that the configuration names cannot be used."""
        self._shared = shared
        self._config = config  # the one in use
        self._lines = dict(parts.lines(config, config.targets, shared))
        parts.watch_quotas(self._lines, shared)
        self._first = {name: parts.supervisor(config, name, shared) for name in config.sources}
        self.sources = Sources(shared.metrics, shared.clock.now_ms)
        self.dispatcher = Dispatcher(shared.outbox, self._lines, shared.metrics, shared.clock)
        self._tasks: asyncio.TaskGroup | None = None  # set by ``start``

    @property
    def lines(self) -> Mapping[str, Line]:
        """How targets are called now, by name; also those that the configuration has no more."""
        return self._lines

    def load(self, busy: float) -> Load:
        """What this process has to do. busy: share of one core that it uses."""
        sources = self._config.sources
        standings = self.sources.standings(lambda name: getattr(sources.get(name), "assign", None) is not None)
        sendable, bound = self.dispatcher.work
        return Load(busy, sendable, shareable(standings, bound=bound))

    def reread_tokens(self) -> None:
        """Take up those that were rotated."""
        for line in self._lines.values():
            line.sender.reread_token()

    def halt(self, halts: Halts, sources: frozenset[str]) -> None:
        """An operator has paused these, and nothing else."""
        self.sources.halt(lambda name: halts.everything or name in sources)
        self.dispatcher.halt(halts)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to read all sources."""
        self._tasks = tasks
        self.sources.start(self._first, tasks)

    def prepare(self, config: Config, plan: Plan) -> Prepared:
        """Make what the plan asks for. Raises ConfigError where a file that the configuration names cannot be used."""
        shared = self._shared
        supervisors = {name: parts.supervisor(config, name, shared) for name in (*plan.start, *plan.restart)}
        decoders = {name: parts.decoding(config, name, shared.clock.seconds) for name in plan.reread}
        return Prepared(config, plan, supervisors, decoders, parts.lines(config, plan.connect, shared))

    async def change(self, prepared: Prepared) -> None:
        """Carry the plan out; returns when the sources that stop are closed, and those that start are begun.

        Up to the first wait everything happens at once, and no batch is routed by half of it. A target that is gone
        keeps its line: what waits for it is still delivered.
        """
        assert self._tasks is not None  # noqa: S101  nothing is changed before it runs
        config, plan = prepared.config, prepared.plan
        self._config = config
        ending = (*plan.stop, *plan.restart)
        self._connect(prepared.lines, self._tasks)
        self.sources.stop(ending)
        staying = config.sources.keys() - {*plan.start, *ending}
        replaced = [self.sources.decoder(name) for name in prepared.decoders]
        self.sources.swap(prepared.renewed, staying)
        for decoder in replaced:
            await decoder.close()  # who still prepares with it tries again with the new one
        await self.sources.ended(ending, config.shutdown.grace_seconds)
        self.sources.start(prepared.supervisors, self._tasks)

    def _connect(self, lines: Mapping[str, Line], tasks: asyncio.TaskGroup) -> None:
        replaced = [self._lines[name] for name in lines if name in self._lines]
        self._lines.update(lines)
        parts.watch_quotas(lines, self._shared)
        self.dispatcher.use(self._lines)
        for line in replaced:
            tasks.create_task(line.sender.close())

    async def close(self) -> None:
        """Drop the connections to the targets, when nothing is sent any more."""
        for line in self._lines.values():
            await line.sender.close()
