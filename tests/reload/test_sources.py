"""Sources that start, get other rules and stop while others are read, with brokers in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from bridge import supervisor
from bridge.caution.caution import Caution
from bridge.decoding import DecodingSettings, decoder
from bridge.intake import Current, Translation
from bridge.metrics import Metrics
from bridge.reload.sources import Sources
from bridge.routing.router import Router, SourceInfo
from bridge.routing.settings import RuleSettings
from bridge.sources.memory import MemoryBroker, MemorySource
from bridge.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from bridge.outbox.base import Intake

SECONDS = 60.0  # far more than anything here takes


class Receipt:
    """Resolves when the test says so."""

    def __init__(self, given: asyncio.Event) -> None:
        self._given = given

    async def wait(self) -> None:
        await self._given.wait()


class Outbox:
    """Takes everything; ``room`` and ``given`` hold the reader and its receipts back."""

    def __init__(self) -> None:
        self.intakes: list[Intake] = []
        self.room = asyncio.Event()
        self.room.set()
        self.given = asyncio.Event()
        self.given.set()

    async def add(self, intake: Intake) -> Receipt:
        await self.room.wait()
        self.intakes.append(intake)
        return Receipt(self.given)

    def workflows(self, source: str) -> list[str]:
        return [call.workflow for intake in self.intakes if intake.source == source for _, call in intake.calls]


def router(workflow: str) -> Router:
    rule = RuleSettings.model_validate({"name": "all", "create": {"workflow": workflow, "id": "i-${body}"}})
    return Router([rule], vars={}, sources=[SourceInfo("a"), SourceInfo("b")], targets=["main"])


class Stage:
    """Two sources in memory, each with a broker of its own."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.outbox = Outbox()
        self.brokers = {"a": MemoryBroker(), "b": MemoryBroker()}
        self.sources = Sources(self.metrics, lambda: 1_000)

    def supervisor(self, name: str, workflow: str = "old") -> Supervisor:
        translation = Translation(
            decoder(DecodingSettings()), router(workflow), self.metrics, lambda: 1_000, lambda: 0.0
        )
        source = MemorySource(name, self.brokers[name], 1)
        return Supervisor(source, Current(translation), self.outbox, Caution(source.name, None), lambda: 0.0)  # type: ignore[arg-type]  # what it asks of it

    def start(self, tasks: asyncio.TaskGroup) -> None:
        self.sources.start({name: self.supervisor(name) for name in self.brokers}, tasks)

    def value(self, name: str, source: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"workflow_bridge_source_{name}", {"source": source})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


async def test_new_rules_count_from_the_next_batch_on() -> None:
    """A batch that was routed keeps its calls, though it is stored after the swap; the source is not opened anew."""
    stage = Stage()
    async with asyncio.TaskGroup() as tasks:
        stage.start(tasks)
        stage.outbox.room.clear()
        stage.brokers["a"].publish(b"1")
        await until(lambda: stage.brokers["a"].committed == 0 and stage.value("messages_received_total", "a") == 1)
        new = router("new")
        stage.sources.swap(lambda _, old: old._replace(router=new), ["a", "b"])
        stage.brokers["a"].publish(b"2")
        stage.brokers["b"].publish(b"3")
        stage.outbox.room.set()
        await until(lambda: len(stage.outbox.intakes) == 3)
        stage.sources.stop_all()
    assert (stage.outbox.workflows("a"), stage.outbox.workflows("b")) == (["old", "new"], ["new"])
    assert stage.value("reconnects_total", "a") == 0


async def test_one_source_ends_and_the_other_reads_on() -> None:
    """What was read is acknowledged before its end; then nothing of its state is reported any more."""
    stage = Stage()
    async with asyncio.TaskGroup() as tasks:
        stage.start(tasks)
        stage.outbox.given.clear()
        stage.brokers["a"].publish(b"1")
        await until(lambda: len(stage.outbox.intakes) == 1)
        stage.sources.stop(["a"])
        ending = asyncio.create_task(stage.sources.ended(["a"], SECONDS))
        stage.brokers["a"].publish(b"2")
        stage.brokers["b"].publish(b"3")
        await until(lambda: stage.outbox.workflows("b") == ["old"])
        assert not ending.done()
        stage.outbox.given.set()
        await ending
        assert (stage.brokers["a"].committed, stage.outbox.workflows("a")) == (1, ["old"])
        assert stage.value("connected", "a") is None
        assert stage.value("connected", "b") == 1
        assert len(stage.sources.tasks) == 1
        stage.sources.stop_all()


async def test_a_source_that_does_not_end_is_cut_off() -> None:
    """Receipts that never come hold up no reload; the messages are not acknowledged, and come again."""
    stage = Stage()
    async with asyncio.TaskGroup() as tasks:
        stage.start(tasks)
        stage.outbox.given.clear()
        stage.brokers["a"].publish(b"1")
        await until(lambda: len(stage.outbox.intakes) == 1)
        stage.sources.stop(["a"])
        with capture_logs() as lines:
            await stage.sources.ended(["a"], 0.01)
        assert "source_stopped_early" in {line["event"] for line in lines}
        stage.outbox.given.set()
        stage.sources.start({"a": stage.supervisor("a", "new")}, tasks)
        await until(lambda: stage.outbox.workflows("a") == ["old", "new"])
        await until(lambda: stage.brokers["a"].committed == 1)
        stage.sources.stop_all()


async def test_nothing_starts_after_the_end() -> None:
    """A reload that was under way when the bridge was stopped begins no source."""
    stage = Stage()
    async with asyncio.TaskGroup() as tasks:
        stage.sources.stop_all()
        stage.start(tasks)
        assert len(stage.sources.tasks) == 0


async def test_a_paused_source_lets_go_of_its_broker_until_it_goes_on() -> None:
    """What was read is acknowledged, the rest stays there; the other one reads on; what starts later is paused, too."""
    stage = Stage()
    async with asyncio.TaskGroup() as tasks:
        stage.sources.halt(lambda name: name == "b")
        stage.start(tasks)
        stage.brokers["a"].publish(b"1")
        stage.brokers["b"].publish(b"2")
        await until(lambda: stage.brokers["a"].committed == 1)
        assert (stage.value("paused", "a"), stage.value("paused", "b"), stage.value("connected", "b")) == (0, 1, 0)
        stage.sources.halt(lambda name: name == "a")
        await until(lambda: stage.outbox.workflows("b") == ["old"] and stage.value("connected", "a") == 0)
        stage.brokers["a"].publish(b"3")
        assert (stage.value("paused", "a"), stage.outbox.workflows("a")) == (1, ["old"])
        stage.sources.halt(lambda _: False)
        await until(lambda: stage.brokers["a"].committed == 2)
        stage.sources.halt(lambda _: True)
        await until(lambda: stage.value("connected", "a") == 0)
        stage.sources.stop_all()  # ends what is paused, too
    assert stage.outbox.workflows("a") == ["old", "old"]


async def test_a_source_goes_on_though_what_it_read_before_its_pause_is_not_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits for that a little; then the broker gives it again, together with what is new."""
    monkeypatch.setattr(supervisor, "LAST_ACKS_SECONDS", 0.01)
    stage = Stage()
    async with asyncio.TaskGroup() as tasks:
        stage.start(tasks)
        stage.outbox.given.clear()
        stage.brokers["a"].publish(b"1")
        await until(lambda: len(stage.outbox.intakes) == 1)
        stage.sources.halt(lambda name: name == "a")
        stage.sources.halt(lambda _: False)
        stage.brokers["a"].publish(b"2")
        await until(lambda: len(stage.outbox.workflows("a")) == 3)
        stage.outbox.given.set()
        await until(lambda: stage.brokers["a"].committed == 2)
        stage.sources.stop_all()
