"""Shadow rules beside live ones: what they would do otherwise is counted, and nothing of it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from bridge.decoding import DecodingSettings, decoder
from bridge.intake import Translation
from bridge.metrics import Metrics
from bridge.routing.router import Router, SourceInfo
from bridge.routing.settings import RuleSettings
from bridge.shadow import QUIET_MS, Shadow
from bridge.sources.memory import MemoryBroker, MemorySource

if TYPE_CHECKING:
    from bridge.outbox.base import Intake
    from bridge.routing.router import Routed
    from bridge.sources.base import Batch

BODIES = [b'{"type":"order","n":1}', b'{"type":"order","n":2}', b'{"type":"other","n":3}', b"{no json"]
ORDER: dict[str, Any] = {"when": 'body.type == "order"', "create": {"workflow": "w", "id": "o-${body.n}"}}
OTHER: dict[str, Any] = {**ORDER, "create": {"workflow": "other", "id": "o-${body.n}"}}


class Time:
    """What the translation takes for now."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


def router(*rules: dict[str, Any]) -> Router:
    settings = [RuleSettings.model_validate({"name": f"r{number}", **rule}) for number, rule in enumerate(rules)]
    return Router(settings, vars={}, sources=[SourceInfo("orders")], targets=["main"], config="digest")


class Stage:
    """A translation with a shadow."""

    def __init__(self, *shadow: dict[str, Any]) -> None:
        self.time = Time()
        self.metrics = Metrics()
        self.alone = Translation(decoder(DecodingSettings()), router(ORDER), self.metrics, self.time, lambda: 0.0)
        self.beside = self.alone._replace(shadow=Shadow(router(*shadow), self.metrics))

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"workflow_bridge_shadow_{name}", labels)

    def totals(self) -> tuple[float | None, float | None]:
        """Messages compared, and messages that differ."""
        return self.value("messages_total", source="orders"), self.value("differing_total", source="orders")


@pytest.fixture
async def batch() -> Batch:
    broker = MemoryBroker()
    for body in BODIES:
        broker.publish(body)
    source = MemorySource("orders", broker, len(BODIES))
    await source.open()
    return await source.receive()


def content(intake: Intake) -> tuple[object, ...]:
    return list(intake.calls), list(intake.dead), intake.positions


async def test_what_the_shadow_would_do_is_not_done(batch: Batch) -> None:
    """Calls and dead letters are those of the live rules, whatever the shadow makes of the same messages."""
    for shadow in ([OTHER], [ORDER, OTHER], [{"dead_letter": "all"}], [{"drop": "all"}]):
        stage = Stage(*shadow)
        live = content(stage.alone.translate("orders", batch))
        assert content(stage.beside.translate("orders", batch)) == live
        assert stage.totals()[1] != 0


async def test_differences_are_counted_by_rule_and_kind(batch: Batch) -> None:
    """Messages that were compared, those that differ, and in what; what is no JSON is asked of nobody."""
    stage = Stage(OTHER)
    stage.beside.translate("orders", batch)
    assert stage.totals() == (4, 2)
    assert stage.value("differences_total", rule="r0", operation="create", difference="workflow") == 2


async def test_the_same_rules_make_no_difference(batch: Batch) -> None:
    """Nothing is logged then."""
    stage = Stage(ORDER)
    with capture_logs() as lines:
        stage.beside.translate("orders", batch)
    assert stage.totals() == (4, 0)
    assert [line for line in lines if line["event"].startswith("shadow")] == []


async def test_a_line_now_and_then_says_what_differs(batch: Batch) -> None:
    """With the ids of some messages; in between it is only counted, and the next line has the sum."""
    stage = Stage(OTHER)
    with capture_logs() as logged:
        for _ in range(100):
            stage.beside.translate("orders", batch)
        stage.time.now_ms += QUIET_MS
        stage.beside.translate("orders", batch)
    lines = [line for line in logged if line["event"] == "shadow_differs"]
    assert [line["messages"] for line in lines] == [2, 200]
    assert lines[0]["differences"] == ["2 messages would start other workflows"]
    assert sorted(lines[0]["message_ids"]) == sorted(message.id for message in batch.messages[:2])
    assert len(lines[1]["message_ids"]) == 3


async def test_a_defect_of_the_shadow_costs_live_messages_nothing(batch: Batch) -> None:
    """It is counted, and the batch goes its way."""

    class Broken:
        def route(self, *_: object) -> Routed:
            raise ZeroDivisionError

    stage = Stage(ORDER)
    broken = stage.alone._replace(shadow=Shadow(Broken(), stage.metrics))  # type: ignore[arg-type]  # it has no other method
    with capture_logs() as lines:
        assert content(broken.translate("orders", batch)) == content(stage.alone.translate("orders", batch))
    assert "shadow_failed" in {line["event"] for line in lines}
    assert stage.value("failures_total", source="orders") == 1
