"""An SQLite outbox as the process has it that owns it, and an operator who works on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from bridge.control.diary import Diary
from bridge.control.loudness import Loudness
from bridge.control.operator import Operator
from bridge.control.switches import Known
from bridge.decoding.decoder import decoder
from bridge.decoding.settings import DecodingSettings
from bridge.errors import OperationRefused
from bridge.intake import Translation
from bridge.logs import Level
from bridge.metrics import Metrics
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from bridge.routing.router import Router, SourceInfo
from bridge.routing.settings import RuleSettings
from tests.outbox.subjects import START_MS, Clock, intake_of, soon

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bridge.control.draining import Drained
    from bridge.outbox.base import DeadLetter, Entry
    from bridge.outbox.overview import Paused

RULES: list[dict[str, Any]] = [
    {"name": "order-created", "when": "body.t == 'c'", "create": {"workflow": "fulfil-order", "id": "o-${body.id}"}},
    {"name": "audit", "when": "body.t == 'c'", "create": {"workflow": "audit", "id": "a-${body.id}"}},
    {"name": "tests", "when": "body.t == 'test'", "drop": "test message"},
]


class Alarm:
    """Something that a test lets happen."""

    def __init__(self, seconds: float, act: Callable[[], None]) -> None:
        self.seconds = seconds
        self.act = act
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Desk:
    """``rules`` are today's, for the source orders."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state" / "outbox.db"
        self.clock = Clock()
        self.outbox = SqliteOutbox(SqliteSettings(path=self.path), clock=self.clock)
        self.admin = SqliteOutboxAdmin(self.path)
        self.rules = RULES
        self.operator = Operator(Diary(self.outbox.ask, self.clock), self, self.clock)
        self.halted: Sequence[Paused] = ()
        self.alarms: list[Alarm] = []
        self.loud = Loudness(Level.INFO, self.clock, self._later)

    def known(self) -> Known:
        return Known(["orders"], [rule["name"] for rule in self.rules], ["main"])

    def halt(self, paused: Sequence[Paused]) -> None:
        self.halted = paused

    def loudness(self) -> Loudness:
        return self.loud

    async def drain(self, seconds: float) -> Drained:
        raise AssertionError(seconds)

    async def translation(self, source: str) -> Translation:
        if source != "orders":
            raise OperationRefused(f"its source {source} is not read")
        rules = [RuleSettings.model_validate(rule) for rule in self.rules]
        router = Router(rules, vars={}, sources=[SourceInfo("orders")], targets=["main"], config="today")
        metrics = Metrics(CollectorRegistry())
        return Translation(decoder(DecodingSettings()), router, metrics, self.clock, lambda: 0.0, config="today")

    def _later(self, seconds: float, act: Callable[[], None]) -> Alarm:
        self.alarms.append(Alarm(seconds, act))
        return self.alarms[-1]

    async def bury(self, *letters: DeadLetter) -> None:
        await soon((await self.outbox.add(intake_of(dead=letters))).wait())

    def numbers(self) -> list[int]:
        return self.admin.dead_letter_numbers()

    async def entries(self) -> Sequence[Entry]:
        """All that is ready, and all that is due within a day."""
        found = [entry for queue in self.outbox.queues() for entry in await self.outbox.pending(queue, 0, 1_000)]
        return [*found, *await self.outbox.due(START_MS + 86_400_000, 1_000)]
