"""Loads the configuration again when its files change or somebody asks; one that is wrong changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge import logs, parts
from bridge.config import load_config
from bridge.config.contents import digests
from bridge.errors import ConfigError, Problem
from bridge.reload.plan import plan_for
from bridge.reload.watching import Settled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bridge.config import Config
    from bridge.control.loudness import Loudness
    from bridge.document import Files
    from bridge.metrics import Metrics
    from bridge.reload.generation import Generation
    from bridge.reload.live import Live, Prepared
    from bridge.reload.plan import Plan

log = structlog.get_logger(__name__)


class Watched(NamedTuple):
    """The files of the configuration, and what was in them before it was loaded for the first time."""

    files: Files
    before: Mapping[str, str]


class Reloader:
    """Keeps the running bridge at what its configuration files say."""

    def __init__(
        self,
        watched: Watched,
        generation: Generation,
        live: Live,
        metrics: Metrics,
        now_ms: Callable[[], int],
        loudness: Loudness,
    ) -> None:
        self._files = watched.files
        self._named = digests(generation.config.contents)  # files that it names and that are read once
        self._settled = Settled({**watched.before, **self._named})
        self._generation = generation
        self._live = live
        self._metrics = metrics
        self._now_ms = now_ms
        self._loudness = loudness
        self._asked = asyncio.Event()
        self._problems: Sequence[Problem] = ()
        self._wrong: frozenset[str] = frozenset()  # files that the last attempt found something wrong in

    @property
    def config(self) -> Config:
        """The configuration in use."""
        return self._generation.config

    @property
    def generation(self) -> Generation:
        """That configuration, with its number."""
        return self._generation

    @property
    def problems(self) -> Sequence[Problem]:
        """Why what the files say is not in use; empty: it is."""
        return self._problems

    def ask(self) -> None:
        """Load again soon, whether anything has changed or not; called often, it is still done once."""
        self._asked.set()

    async def run(self) -> None:
        """Never returns; cancel it."""
        self._metrics.generation(self._generation.number, self._generation.digest)
        self._metrics.config_read("started", self._now_ms())
        while True:
            asked = await self._woken()
            found = await asyncio.to_thread(self._files.look, {*self._wrong, *self._named})
            if asked:
                self._settled.load(found)
                self._live.reread_tokens()
            if asked or self._settled.saw(found):
                await self._reload(found)

    async def _woken(self) -> bool:
        """Wait for the next look; True: somebody asked for a reload."""
        settings = self._generation.config.reload
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.interval_seconds if settings.watch else None):
                await self._asked.wait()
        asked = self._asked.is_set()
        self._asked.clear()
        return asked

    async def _reload(self, found: Mapping[str, str]) -> None:
        """found: what was seen in the files just before."""
        try:
            # In a thread, so that messages flow meanwhile; only what must happen at once happens in the loop.
            config, plan = await asyncio.to_thread(_load, self._files, self._generation.config)
            self._look_at(digests(config.contents), found)
            prepared = _prepared(self._live, config, plan)
        except ConfigError as error:
            self._look_at({**self._named, **error.named}, found)
            self._failed(error.problems)
            return
        self._wrong, self._problems = frozenset(), ()
        self._metrics.config_read("loaded" if plan.changes else "unchanged", self._now_ms())
        if not plan.changes:
            log.info("config_unchanged", generation=self._generation.number, digest=self._generation.digest)
            return
        self._generation = self._generation.next(config)
        self._announce(plan)
        await self._live.change(prepared)
        del prepared
        gc.collect()  # compiled rules hold each other, and the collector looks seldom

    def _look_at(self, named: Mapping[str, str], found: Mapping[str, str]) -> None:
        """From now on at these files as well, in which this was when ``found`` was in the configuration's own."""
        before, self._named = self._named, named
        self._settled.load({**{name: seen for name, seen in found.items() if name not in before}, **self._named})

    def _failed(self, problems: Sequence[Problem]) -> None:
        self._problems = problems
        self._wrong = frozenset(problem.file for problem in problems if problem.file)
        self._metrics.config_read("failed", self._now_ms())
        log.error("config_reload_failed", generation=self._generation.number, digest=self._generation.digest,
                  problems=list(map(str, problems)))  # fmt: skip

    def _announce(self, plan: Plan) -> None:
        generation, config = self._generation, self._generation.config
        if "log" in plan.others:
            logs.configure(self._loudness.configured(config.log.level), config.log.format)
        parts.declare_rules(config, self._metrics)
        self._metrics.generation(generation.number, generation.digest)
        log.info("config_reloaded", generation=generation.number, digest=generation.digest, changes=plan.changes)


def _prepared(live: Live, config: Config, plan: Plan) -> Prepared:
    """Raises ConfigError."""
    try:
        return live.prepare(config, plan)
    except ConfigError:
        raise
    except Exception as error:
        log.exception("config_not_prepared")
        raise ConfigError([Problem("", f"a defect of the bridge: {error!r}")]) from error


def _load(files: Files, old: Config) -> tuple[Config, Plan]:
    """Load, check everything, compare with what is in use.

    Raises ConfigError; whatever else goes wrong must not end the bridge that runs.
    """
    try:
        config = load_config(files.path)
        plan = plan_for(old, config)
    except ConfigError:
        raise
    except Exception as error:
        log.exception("config_not_loaded")
        raise ConfigError([Problem("", f"a defect of the bridge: {error!r}", str(files.path))]) from error
    if plan.refused:
        raise ConfigError(plan.refused)
    return config, plan
