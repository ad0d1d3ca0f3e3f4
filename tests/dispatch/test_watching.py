"""Whether instances that a rule has made ended in an error: a real outbox file, an emulator, a clock of the test's."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest
from structlog.testing import capture_logs

from bridge import parts
from bridge.call import Policy
from bridge.cloudflare.client import Client
from bridge.cloudflare.results import Listed
from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import FastTransport
from bridge.dispatch.allowance import Allowance, Notes
from bridge.dispatch.dispatcher import Dispatcher
from bridge.dispatch.gate import Line
from bridge.dispatch.metered import Metered
from bridge.dispatch.sending import Sender
from bridge.dispatch.timeline import Clock
from bridge.dispatch.watching import SHARE, SLACK, Plan, is_counted, maker, plans, settled_since_ms
from bridge.emulator.quota import QuotaSettings
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings
from bridge.metrics import PREFIX, Metrics
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.base import Queue
from bridge.outbox.overview import LedgerFilter, LedgerRow
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from bridge.routing.settings import RuleSettings
from tests.dispatch.test_dispatcher import create, event, intake, now_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bridge.call import Call
    from bridge.config import Config
    from bridge.dispatch.watching import Watching

SECONDS = 60.0
EVERY = 300.0
PLACE = Queue("main", "fails")
CREATE = {"workflow": "fails", "id": "${body.id}"}


def rule(name: str = "watched", **watch: str) -> RuleSettings:
    return RuleSettings.model_validate({"name": name, "create": CREATE, "watch": watch})


class Configured:
    """As much of a configuration as is asked for."""

    def __init__(self, *rules: RuleSettings) -> None:
        self.rules = rules
        self.targets = {"main": None}


class Stage:
    """A bridge's second half with one target; ``ahead`` is by how much its steady clock is set forward."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self.ahead = 0.0
        self.emulator = emulator
        self.stopped: set[Queue] = set()
        self.outbox = SqliteOutbox(SqliteSettings(path=folder / "outbox.db"), clock=now_ms)
        self.admin = SqliteOutboxAdmin(self.outbox.path)
        self.metrics = Metrics()
        self.clock = Clock(now_ms, random.Random(1).random, self._seconds)
        settings = TargetSettings.model_validate(
            {"account_id": emulator.account_id, "api_token": emulator.token, "base_url": emulator.base_url}
        )
        notes = Notes(lambda: self.outbox.noted("q"), lambda text: self.outbox.note("q", text), now_ms)
        self.allowance = Allowance(settings.budget, self._seconds, notes)
        self.client = Client(settings, Metered(FastTransport(settings), self.allowance))
        self.lines = {"main": Line(Sender(self.client, self.metrics, self._seconds), 8, self.allowance)}
        self.watching = self.watched(rule())

    def _seconds(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead

    def watched(self, *rules: RuleSettings) -> Watching:
        """What looks after the instances of these rules, as it is after a start."""
        shared = parts.Shared(self.outbox, self.metrics, self.clock)
        config = cast("Config", Configured(*rules))
        made = parts.watching(lambda: config, lambda: self.lines, shared, self.stopped.__contains__)
        assert made is not None
        return made

    async def deliver(self, *calls: Call) -> None:
        """Until all of them are in the ledger."""
        before = len(self.rows())
        await (await self.outbox.add(intake(calls))).wait()
        async with asyncio.timeout(SECONDS):
            while len(self.rows()) < before + len(calls):
                await asyncio.sleep(0.01)

    def rows(self, **chosen: Any) -> list[LedgerRow]:
        return self.admin.ledger(None, 10_000, LedgerFilter(**chosen))

    async def look(self, watching: Watching | None = None) -> int:
        """One look, when it is due again; how many lists that took."""
        self.ahead += EVERY
        before = self.lists()
        await (watching or self.watching).look()
        return self.lists() - before

    def lists(self) -> int:
        return sum(record.operation == "list" for record in self.emulator.journal.records)

    def counted(self, name: str = "watched") -> float | None:
        return self.metrics.registry.get_sample_value(f"{PREFIX}instances_errored_total", {"rule": name})


@asynccontextmanager
async def staged(folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    api = {"workflows": {"fails": "fails", "done": "completes"}, **settings}
    async with Emulator(EmulatorSettings.model_validate(api)) as emulator:
        stage = Stage(folder, emulator)
        await stage.outbox.open()
        dispatcher = Dispatcher(stage.outbox, stage.lines, stage.metrics, stage.clock)
        task = asyncio.create_task(dispatcher.run())
        try:
            yield stage
        finally:
            dispatcher.stop()
            await asyncio.wait_for(task, SECONDS)
            await stage.outbox.close()
            await stage.client.close()


def of_rule(name: str, *instance_ids: str) -> list[Call]:
    return [create(each, "fails")._replace(policy=Policy(name).encode()) for each in instance_ids]


async def test_an_errored_instance_is_counted_once(tmp_path: Path) -> None:
    """By its rule, with a row of the ledger; neither later looks nor a restart count it again, nor others'."""
    async with staged(tmp_path) as stage:
        await stage.deliver(*of_rule("watched", "a", "b"), *of_rule("other", "c"), create("d", "done"))
        await stage.client.create("fails", orjson.dumps({"instance_id": "by-hand"}))
        assert [await stage.look() for _ in range(3)] == [1, 1, 1]
        assert (stage.counted(), stage.counted("other")) == (2, None)
        rows = stage.rows(outcome="errored")
        assert sorted((row.instance_id, row.rule, row.workflow) for row in rows) == [
            ("a", "watched", "fails"),
            ("b", "watched", "fails"),
        ]
        assert [row.outcome for row in stage.rows(instance="a")] == ["errored", "delivered"]
        assert stage.rows(instance="a")[0].message_id == stage.rows(instance="a")[1].message_id
        await stage.look(stage.watched(rule(), rule("other")))
        assert (stage.counted(), stage.counted("other")) == (2, 1)


async def test_a_list_that_lags_behind_hides_nothing_for_good(tmp_path: Path) -> None:
    """What it does not show yet is counted by a later look."""
    async with staged(tmp_path, list_lag_seconds=30) as stage:
        await stage.deliver(*of_rule("watched", "a"))
        await stage.look()
        assert stage.counted() is None
        stage.emulator.advance(31)
        await stage.look()
        assert stage.counted() == 1


async def test_an_instance_is_counted_although_its_create_is_settled_later(tmp_path: Path) -> None:
    """An answer was lost, say: the instance has failed before the ledger knows who made it."""
    async with staged(tmp_path) as stage:
        await stage.client.create("fails", orjson.dumps({"instance_id": "a"}))
        await stage.look()
        assert stage.counted() is None
        await stage.deliver(*of_rule("watched", "a"))
        await stage.look()
        assert stage.counted() == 1


async def test_an_instance_is_counted_whatever_came_after_its_create(tmp_path: Path) -> None:
    """Many events to one of the same id, say: what made it is looked for, and not the last rows about it."""
    async with staged(tmp_path, workflows={"fails": "fails", "wait": "waits:never"}) as stage:
        await stage.deliver(*of_rule("watched", "a"), create("a", "wait"))
        await stage.deliver(*(event("a", number) for number in range(60)))
        await stage.look()
        assert stage.counted() == 1


@pytest.mark.parametrize(
    ("created_on", "hour"),
    [("2027-01-15T08:00:00.000Z", 7), ("2027-01-15T08:00:00", 7), (None, None), ("yesterday", None)],
)
def test_a_ledger_is_searched_from_before_the_instance_was_made(created_on: str | None, hour: int | None) -> None:
    """By an hour, as clocks are apart; all of it where the API does not tell."""
    since_ms = settled_since_ms(Listed("a", "errored", created_on, None, None, {}))
    midnight_ms = int(datetime(2027, 1, 15, tzinfo=UTC).timestamp()) * 1000
    assert since_ms == (None if hour is None else midnight_ms + hour * 3_600_000)


async def test_many_are_listed_page_by_page(tmp_path: Path) -> None:
    """One page at a time, until the end; then the next look begins at the newest."""
    async with staged(tmp_path, creation=None) as stage:
        await stage.deliver(*of_rule("watched", *(f"i-{n}" for n in range(250))))
        pages = [await stage.look(), await stage.look(), await stage.look()]
        assert pages == [1, 1, 1]
        assert stage.counted() == 250
        before = stage.lists()
        await stage.watching.look()
        assert stage.lists() == before  # not due before ``every`` is over
        assert len(stage.rows(outcome="errored")) == 250


async def test_deliveries_go_first(tmp_path: Path) -> None:
    """Nothing is asked while calls wait for the quota, and of an idle one a fiftieth at most."""
    quota = QuotaSettings(requests=1200, window_seconds=300, block_seconds=300)
    async with staged(tmp_path, quota=quota, workflows={"*": "completes"}) as stage:
        await stage.deliver(create("first", "done"))
        known = stage.allowance.budget.quotas["default"]
        left, known.remaining = known.remaining, known.reserved + SLACK
        await stage.watching.look()
        assert stage.lists() == 0
        known.remaining = left
        for _ in range(100):
            stage.ahead += 2
            stage.watching._looks.clear()  # as if it were due again
            await stage.watching.look()
        assert 15 <= stage.lists() <= SHARE * 1080


async def test_a_call_that_waits_for_the_answer_to_a_look_goes_when_it_has_come(tmp_path: Path) -> None:
    """The first request of a window is what tells of it, whoever made it; nothing else has to happen."""
    quota = QuotaSettings(requests=1200, window_seconds=300, block_seconds=300)
    async with staged(tmp_path, quota=quota) as stage:
        await stage.deliver(create("first", "done"))
        known, budget = stage.allowance.budget.quotas["default"], stage.allowance.budget
        known.reset_at = known.last_sent_at = stage._seconds() - 10
        stage.emulator.application.answer(
            "POST", "/emulator/faults", b"Bearer " + stage.emulator.token.encode(),
            orjson.dumps({"do": "delay", "seconds": [1, 1], "operation": "list", "count": 1}),
        )  # fmt: skip
        looking = asyncio.create_task(stage.watching.look())
        async with asyncio.timeout(SECONDS):
            while not budget.in_flight:
                await asyncio.sleep(0.001)
        await stage.deliver(create("second", "done"))
        await looking


async def test_what_is_paused_is_not_asked_about(tmp_path: Path) -> None:
    """An operator has said that nothing goes there."""
    async with staged(tmp_path) as stage:
        stage.stopped.add(PLACE)
        assert await stage.look() == 0
        stage.stopped.clear()
        assert await stage.look() == 1


async def test_a_failed_look_is_told_and_repeated_when_it_is_due(tmp_path: Path) -> None:
    """It stops nothing else."""
    async with staged(tmp_path) as stage:
        await stage.deliver(*of_rule("watched", "a"))
        stage.emulator.application.answer(
            "POST", "/emulator/faults", b"Bearer " + stage.emulator.token.encode(),
            orjson.dumps({"do": "error", "status": 500, "count": 1}),
        )  # fmt: skip
        with capture_logs() as lines:
            await stage.look()
        assert [(line["event"], line["reason"]) for line in lines] == [("watch_failed", "server_error")]
        assert stage.counted() is None
        await stage.look()
        assert stage.counted() == 1


def test_rules_of_one_workflow_share_its_looks() -> None:
    """As often as the most eager wants, as far back as the most patient."""
    one, other = rule("one", every="2m"), rule("other", every="10m", **{"for": "2d"})
    without = RuleSettings.model_validate({"name": "without", "create": CREATE})
    assert plans([one, other, without], "main") == {
        PLACE: Plan(timedelta(minutes=2), timedelta(days=2), frozenset({"one", "other"}))
    }


def row(number: int, outcome: str = "delivered", reason: str = "created", **more: Any) -> LedgerRow:
    given = {"rule": f"rule-{number}", "workflow": "fails", "operation": "create", **more}
    values: dict[str, Any] = dict.fromkeys(LedgerRow._fields, "")
    numbers = dict.fromkeys(("code", "attempts", "arrived_ms"), 0)
    return LedgerRow(**{**values, **numbers, "number": number, "target": "main", "outcome": outcome, "reason": reason,
                        "settled_ms": number, **given})  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "made"),
    [
        ([], None),
        ([row(2, operation="event"), row(1)], 1),
        ([row(2, reason="exists"), row(1)], 1),
        ([row(2, reason="exists"), row(1, reason="exists")], 1),  # its own answer was lost; then somebody came again
        ([row(3), row(2, "errored"), row(1)], 3),  # the id was free again
        ([row(2, workflow="other"), row(1, "dead")], None),
    ],
)
def test_who_has_made_an_instance(rows: list[LedgerRow], made: int | None) -> None:
    """The last call that created it; one that found the id used has not."""
    found = maker(rows, PLACE)
    assert (found and found.number) == made


@pytest.mark.parametrize("set_by_ms", [0, 1_000_000, -1_000_000])
def test_an_id_that_is_used_again_counts_again(set_by_ms: int) -> None:
    """What ended in an error before is of the instance before, wherever the clock was set between two rows."""
    first, counted = row(1), row(2, "errored", settled_ms=2 + set_by_ms)
    again = row(3)
    assert is_counted([counted, first], first)
    assert not is_counted([again, counted, first], again)


async def test_a_clock_that_is_set_back_has_nothing_counted_twice(tmp_path: Path) -> None:
    """That an instance ended in an error is found among the rows since its making, also after a restart."""
    async with staged(tmp_path) as stage:
        await stage.deliver(*of_rule("watched", "a"))
        made = stage.rows(instance="a")
        day_before = made[0].settled_ms - 24 * 3_600_000
        await stage.outbox.ask(lambda store: store.ledger.errored(made, day_before))
        await stage.look(stage.watched(rule()))
        assert [row.outcome for row in stage.rows(instance="a")] == ["errored", "delivered"]
        assert stage.counted() is None


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"watch": {"every": "10s"}}, "from 1m to 1d"),
        ({"watch": {"every": "1h", "for": "10m"}}, "at least as long as every"),
        ({"watch": {}, "create": {**CREATE, "workflow": "${body.w}"}}, "named outright"),
        ({"watch": {}, "create": None, "drop": "x"}, "goes with create"),
    ],
)
def test_what_cannot_be_watched_is_refused(more: dict[str, Any], says: str) -> None:
    """With what to do."""
    with pytest.raises(ValueError, match=says):
        RuleSettings.model_validate({"name": "r", "create": CREATE, **more})
