"""The reloader with real files and a bridge of which only the changes are noted."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from structlog.testing import capture_logs

from bridge.config import FURTHER_FILES, load_config
from bridge.control.loudness import Loudness
from bridge.document import Files
from bridge.errors import ConfigError, Problem
from bridge.logs import Level
from bridge.metrics import Metrics
from bridge.reload import reloader as module
from bridge.reload.generation import Generation
from bridge.reload.live import Prepared
from bridge.reload.reloader import Reloader, Watched
from tests.config.files import changed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, MutableMapping
    from pathlib import Path

    from bridge.config import Config
    from bridge.reload.plan import Plan

SECONDS = 60.0  # far more than anything here takes
QUICK = {"reload.interval_seconds": 0.05}
NEVER = {"reload.watch": False}


def put(file: Path, text: str) -> None:
    """Whole at once: who looks just then finds no empty file, which would be one reload more."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


class Noted:
    """Takes every plan, and remembers it; ``wrong`` is what making the new parts fails with."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.wrong: Exception | None = None
        self.rereads = 0

    def prepare(self, config: Config, plan: Plan) -> Prepared:
        if self.wrong:
            raise self.wrong
        return Prepared(config, plan)

    def reread_tokens(self) -> None:
        self.rereads += 1

    async def change(self, prepared: Prepared) -> None:
        self.plans.append(prepared.plan)


class Place:
    """A folder with a configuration, and the reloader of it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "bridge.yaml"
        self.live = Noted()
        self.metrics = Metrics()
        self.lines: list[MutableMapping[str, Any]] = []
        self.reloader: Reloader

    def write(self, changes: dict[str, Any]) -> None:
        put(self.file, yaml.safe_dump(changed(changes)))

    @asynccontextmanager
    async def running(self, changes: dict[str, Any]) -> AsyncIterator[None]:
        self.write(changes)
        files = Files(self.file, FURTHER_FILES)
        watched = Watched(files, files.look())
        first = Generation(1, load_config(self.file))
        self.loudness = Loudness(first.config.log.level, lambda: 5_000, asyncio.get_running_loop().call_later)
        live: Any = self.live  # has what is asked of it
        self.reloader = Reloader(watched, first, live, self.metrics, lambda: 5_000, self.loudness)
        task = asyncio.create_task(self.reloader.run())
        yield
        assert not task.done()
        task.cancel()

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"workflow_bridge_config_{name}", labels)

    async def read(self, outcome: str, times: int = 1) -> None:
        """Wait until so many reloads had this outcome."""
        async with asyncio.timeout(SECONDS):
            while self.value("reloads_total", outcome=outcome) != times:
                await asyncio.sleep(0.005)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("planted-token\n")
    made = Place(tmp_path)
    with capture_logs() as made.lines:
        yield made


async def test_a_change_of_the_file_is_taken_over(place: Place) -> None:
    """Without being asked; the generation, its digest and what changed are told."""
    async with place.running(QUICK):
        before = place.reloader.config.digest()
        place.write({**QUICK, "rules.0.create.workflow": "other"})
        await place.read("loaded")
        assert [plan.rules_changed for plan in place.live.plans] == [("created",)]
        after = place.reloader.config.digest()
        assert (place.value("generation"), place.value("info", hash=after)) == (2, 1)
        assert place.value("info", hash=before) is None
    (line,) = [line for line in place.lines if line["event"] == "config_reloaded"]
    assert (line["generation"], line["digest"]) == (2, after)
    assert line["changes"] == {"rules_changed": ["created"]}


async def test_a_level_that_an_operator_has_said_outlives_a_reload(place: Place) -> None:
    """What it goes back to is the new one."""
    async with place.running(QUICK):
        place.loudness.say(Level.DEBUG, "ann")
        place.write({**QUICK, "log.level": "error"})
        await place.read("loaded")
        assert place.loudness.told == (Level.DEBUG, Level.ERROR, "ann", None)
        assert logging.getLogger().level == logging.DEBUG


async def test_a_mistake_changes_nothing_and_is_told_once(place: Place) -> None:
    """Every problem is in the log, with file and line; the bridge goes on as it was until the next change."""
    async with place.running(QUICK):
        first = place.reloader.config
        place.write({**QUICK, "rules.0.when": "body.a ==", "rules.0.create.id": "${"})
        await place.read("failed")
        for _ in range(5):
            await asyncio.to_thread(lambda: None)
        assert (place.live.plans, place.reloader.config) == ([], first)
        assert (place.value("generation"), place.value("last_reload_successful")) == (1, 0)
        place.write(QUICK)
        await place.read("unchanged")
        assert (place.value("generation"), place.value("last_reload_successful")) == (1, 1)
    (line,) = [line for line in place.lines if line["event"] == "config_reload_failed"]
    assert len(line["problems"]) == 2
    assert all(problem.startswith(f"{place.file}:") for problem in line["problems"])


SCHEMA = {"sources.orders.schema_file": "order.json"}


async def test_a_schema_file_that_changed_is_read_again(place: Place, tmp_path: Path) -> None:
    """Its source goes on; a file that is none is told, and what was there before stays until it is mended."""
    schema = tmp_path / "order.json"
    put(schema, '{"type": "object"}')
    async with place.running(QUICK | SCHEMA):
        put(schema, '{"type": "object", "required": ["id"]}')
        await place.read("loaded")
        put(schema, "{")
        await place.read("failed")
        put(schema, '{"type": "array"}')
        await place.read("loaded", 2)
        assert [plan.changes for plan in place.live.plans] == [{"sources_files_reread": ["orders"]}] * 2
        for _ in range(5):
            await asyncio.to_thread(lambda: None)
        assert (place.value("reloads_total", outcome="failed"), place.value("generation")) == (1, 3)
        assert not place.value("reloads_total", outcome="unchanged")


async def test_a_file_that_a_wrong_configuration_waits_for(place: Place, tmp_path: Path) -> None:
    """Once it is there, the configuration is taken over, and nobody has to ask."""
    async with place.running(QUICK):
        place.write(QUICK | SCHEMA)
        await place.read("failed")
        put(tmp_path / "order.json", '{"type": "object"}')
        await place.read("loaded")
        assert [plan.restart for plan in place.live.plans] == [("orders",)]
        place.write(QUICK)
        await place.read("loaded", 2)
        put(tmp_path / "order.json", "{")  # which nobody names any more
        for _ in range(5):
            await asyncio.to_thread(lambda: None)
        assert (place.value("reloads_total", outcome="failed"), place.value("generation")) == (1, 3)
        assert not place.value("reloads_total", outcome="unchanged")


async def test_a_signal_reads_all_files_again(place: Place, tmp_path: Path) -> None:
    """Also where nobody looks at them: schemas, and tokens."""
    schema = tmp_path / "order.json"
    put(schema, '{"type": "object"}')
    async with place.running(NEVER | SCHEMA):
        put(schema, '{"type": "array"}')
        place.reloader.ask()
        await place.read("loaded")
        assert ([plan.reread for plan in place.live.plans], place.live.rereads) == ([("orders",)], 1)


async def test_a_defect_on_the_way_ends_nothing(place: Place) -> None:
    """Whatever goes wrong where the new parts are made, the bridge goes on as it was, and says so."""
    async with place.running(NEVER):
        place.live.wrong = RuntimeError("no such thing")
        place.write({**NEVER, "vars": {"region": "eu"}})
        place.reloader.ask()
        await place.read("failed")
        assert "a defect of the bridge: RuntimeError" in str(place.reloader.problems[0])


async def test_a_signal_loads_at_once(place: Place) -> None:
    """Also where nobody looks at the files, and where nothing has changed."""
    async with place.running(NEVER):
        place.reloader.ask()
        await place.read("unchanged")
        place.write({**NEVER, "vars": {"region": "eu"}})
        place.reloader.ask()
        await place.read("loaded")
        assert [plan.others for plan in place.live.plans] == [("vars",)]


async def test_a_storm_of_signals_is_few_reloads(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand signals while one reload is under way make one more, and the last word counts."""
    loads = 0

    def counted(path: Path) -> Config:
        nonlocal loads
        loads += 1
        return load_config(path)

    monkeypatch.setattr(module, "load_config", counted)
    async with place.running(NEVER):
        for number in range(1000):
            if number % 100 == 0:
                place.write({**NEVER, "vars": {"number": number}})
                await asyncio.sleep(0)
            place.reloader.ask()
        async with asyncio.timeout(SECONDS):
            while place.reloader.config.vars != {"number": 900}:
                await asyncio.sleep(0.005)
    assert loads <= 3


async def test_what_needs_a_restart_is_refused_whole(place: Place) -> None:
    """A rule that changed beside it does not come into use either; the line says which setting it is."""
    async with place.running(NEVER):
        place.write({**NEVER, "outbox.path": "other.db", "rules.0.create.workflow": "other"})
        place.reloader.ask()
        await place.read("failed")
        assert place.live.plans == []
    (line,) = [line for line in place.lines if line["event"] == "config_reload_failed"]
    assert [problem.partition(":")[0] for problem in line["problems"]] == ["outbox.path"]


async def test_new_parts_that_cannot_be_made_change_nothing(place: Place) -> None:
    """They are made before anything is changed."""
    async with place.running(NEVER):
        place.live.wrong = ConfigError([Problem("targets.main.api_token_file", "is gone")])
        place.write({**NEVER, "targets.main.concurrency": 2})
        place.reloader.ask()
        await place.read("failed")
        assert place.value("generation") == 1


async def test_a_defect_of_loading_does_not_end_the_bridge(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an unforeseen file does to the loader: it is told, and the old configuration stays."""

    def broken(_: Path) -> Config:
        raise RecursionError("deep")

    async with place.running(NEVER):
        monkeypatch.setattr(module, "load_config", broken)
        place.reloader.ask()
        await place.read("failed")
    (line,) = [line for line in place.lines if line["event"] == "config_reload_failed"]
    assert line["problems"] == [f"{place.file}: a defect of the bridge: RecursionError('deep')"]


async def test_a_file_that_could_not_be_read_is_looked_at(place: Place) -> None:
    """An included file that a broken main file names is loaded when it is mended, though no other file changes."""
    part = place.file.with_name("part.yaml")
    async with place.running(QUICK):
        put(part, "rules: [")
        place.write({**QUICK, "include": "part.yaml"})
        await place.read("failed")
        put(part, "rules: [{name: more, create: {workflow: w}}]")
        await place.read("loaded")
        assert [plan.rules_added for plan in place.live.plans] == [("more",)]


async def test_the_shadow_is_watched_and_checked_like_the_rules(place: Place) -> None:
    """With what it includes: one that is wrong makes the reload fail, and one that changed a new configuration."""
    with_shadow = {**QUICK, "shadow": "shadow.yaml"}
    put(place.file.with_name("shadow.yaml"), "include: more.yaml")
    more = place.file.with_name("more.yaml")
    put(more, "rules: [{name: other, create: {workflow: other}}]")
    async with place.running(with_shadow):
        first = place.reloader.config.digest()
        put(more, "rules: [{name: other, when: body.a ==, create: {workflow: other}}]")
        await place.read("failed")
        put(more, "rules: [{name: other, create: {workflow: another}}]")
        await place.read("loaded")
        assert [plan.others for plan in place.live.plans] == [("shadow",)]
        assert place.reloader.config.digest() != first
    (line,) = [line for line in place.lines if line["event"] == "config_reload_failed"]
    assert [problem.partition(": rules[0].when")[0] for problem in line["problems"]] == [f"{more}:1"]
