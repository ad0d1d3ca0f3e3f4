"""The quota of a real emulator, kept by the dispatcher with a real outbox file over HTTP."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bridge.cloudflare.client import Client
from bridge.cloudflare.ratelimit import Reading
from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import FastTransport
from bridge.dispatch.allowance import Allowance, Notes
from bridge.dispatch.budget import State
from bridge.dispatch.dispatcher import Dispatcher
from bridge.dispatch.gate import Line
from bridge.dispatch.metered import Metered
from bridge.dispatch.sending import Sender
from bridge.dispatch.timeline import Clock, Timeline
from bridge.emulator.quota import CreationSettings, QuotaSettings
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings
from bridge.metrics import PREFIX, Metrics
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.dispatch.test_dispatcher import Fault, Flaky, create, intake, no_fault, now_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from bridge.call import Call

SECONDS = 60.0


class Running:
    """A bridge's second half with one target."""

    def __init__(self, outbox: SqliteOutbox, allowance: Allowance, metrics: Metrics) -> None:
        self.outbox = outbox
        self.allowance = allowance
        self.metrics = metrics

    async def add(self, *calls: Call) -> None:
        await (await self.outbox.add(intake(calls))).wait()

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(PREFIX + name, labels) or 0.0

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def bridge(
    folder: Path,
    emulator: Emulator,
    wall_ms: Callable[[], int] = now_ms,
    fault: Callable[[str, bytes | None], Fault] = no_fault,
) -> AsyncIterator[Running]:
    timeline = Timeline(wall_ms, time.monotonic)
    outbox = SqliteOutbox(SqliteSettings(path=folder / "outbox.db"), clock=timeline.now_ms)
    await outbox.open()
    settings = TargetSettings.model_validate(
        {"account_id": emulator.account_id, "api_token": emulator.token, "base_url": emulator.base_url}
    )
    notes = Notes(lambda: outbox.noted("quota"), lambda text: outbox.note("quota", text), timeline.now_ms)
    allowance = Allowance(settings.budget, time.monotonic, notes)
    client, metrics = Client(settings, Metered(Flaky(FastTransport(settings), fault), allowance)), Metrics()
    metrics.watch.quota("main", lambda: (known := allowance.numbers()) and known[:3])
    lines = {"main": Line(Sender(client, metrics, time.monotonic), 8, allowance)}
    clock = Clock(timeline.now_ms, random.Random(1).random, time.monotonic, timeline.was_set, timeline.follow)
    dispatcher = Dispatcher(outbox, lines, metrics, clock)
    task = asyncio.create_task(dispatcher.run())
    try:
        yield Running(outbox, allowance, metrics)
    finally:
        dispatcher.stop()
        await asyncio.wait_for(task, SECONDS)
        await outbox.close()
        await client.close()


def limited(requests: int, window_seconds: int, **settings: object) -> Emulator:
    quota = QuotaSettings(requests=requests, window_seconds=window_seconds, block_seconds=window_seconds)
    return Emulator(EmulatorSettings.model_validate({"workflows": {"*": "completes"}, "quota": quota, **settings}))


def many(count: int, first: int = 0) -> list[Call]:
    """Creates that each need a request of their own: of workflows that nobody else creates in."""
    return [create(f"i-{n}", f"w-{n}") for n in range(first, first + count)]


async def test_it_stops_short_and_goes_on_after_the_reset(tmp_path: Path) -> None:
    """Of 20 requests in 2 seconds 18 are used, then the next window's; none is refused, and all arrive."""
    async with limited(20, 2) as emulator, bridge(tmp_path, emulator) as running:
        await running.add(*many(40))
        await running.until(lambda: not running.outbox.depth().ready)
    assert {record.status for record in emulator.journal.records} == {200}
    began = emulator.journal.records[0].time_ms
    assert sum(record.time_ms < began + 2000 for record in emulator.journal.records) <= 18


async def test_people_can_watch_it(tmp_path: Path) -> None:
    """Limit, what is left, the time until the reset, the time that calls waited, what batches saved: each moves."""
    seen = set()
    async with limited(20, 4) as emulator, bridge(tmp_path, emulator) as running:
        assert running.metric("quota_limit_requests", target="main") == 0
        await running.add(*(create(f"b-{n}", "busy") for n in range(100)), *many(8))

        def done() -> bool:
            figures = ("limit_requests", "remaining_requests", "reset_seconds")
            seen.add(tuple(running.metric(f"quota_{figure}", target="main") for figure in figures))
            return not running.outbox.depth().ready

        await running.until(done)
        assert running.metric("requests_saved_total") == 99
        assert 0.5 < running.metric("throttled_seconds_total", target="main", reason="budget") < SECONDS
    limits, left, resets = map(set, zip(*seen, strict=True))
    assert limits == {0, 20}
    assert len(left) > 4
    assert max(left) == 19
    assert len(resets - {0}) > 1
    assert resets <= {0, 1, 2, 3, 4}


async def test_a_restart_knows_what_was_used(tmp_path: Path) -> None:
    """A second process on the same outbox does not begin anew: what the first had used up stays so until the reset."""
    async with limited(20, 600) as emulator:
        emulator.advance(1)
        async with bridge(tmp_path, emulator) as running:
            await running.add(*many(1))
            await running.until(lambda: "default" in running.allowance.budget.quotas)  # the answer is heard
            emulator.advance(590)  # nearly the whole window is over: what is left of it may go at once
            running.allowance.budget.quotas["default"].reset_at -= 590
            await running.add(*many(40, first=1))
            await running.until(lambda: len(emulator.journal.records) >= 17)  # the 18th may have to wait for the line
        used = len(emulator.journal.records)
        async with bridge(tmp_path, emulator) as running:
            assert running.allowance.request_seconds() > 1
            assert running.allowance.budget.state is State.COUNTED
            await asyncio.sleep(0.3)
            assert len(emulator.journal.records) == used
            assert running.outbox.depth().ready == 41 - used


def test_whenever_it_is_killed_the_next_process_knows_nearly_all() -> None:
    """Of a burst of 1,000 answers in five seconds fewer than a tenth is noted; each time a note lacks 12 at most."""
    now, notes = 1_700_000_000.0, [""]
    budget = TargetSettings.model_validate({"account_id": "a", "api_token": "t"}).budget
    allowance = Allowance(budget, lambda: now, Notes(lambda: "", notes.append, lambda: int(now * 1000)))
    for used in range(1, 1001):
        now += 0.005
        sent_at = allowance.sent()
        reading = Reading("default", 1200, 300.0, 1200 - used, 300.0 - used // 200)
        allowance.answered(200, [reading], None, sent_at)
        told = Notes(lambda: notes[-1], notes.append, lambda: int(now * 1000))  # noqa: B023  it is used here
        next_one = Allowance(budget, lambda: now, told)  # noqa: B023  the same
        assert 0 <= next_one.budget.quotas["default"].remaining - reading.remaining < 12
        assert next_one.budget.state is State.COUNTED
    assert len(notes) < 100


def test_a_block_is_noted_at_once() -> None:
    """Whatever was noted a moment ago."""
    notes = [""]
    budget = TargetSettings.model_validate({"account_id": "a", "api_token": "t"}).budget
    allowance = Allowance(budget, lambda: 50.0, Notes(lambda: "", notes.append, lambda: 1_700_000_000_000))
    for status, remaining in ((200, 1), (200, 1), (429, 0)):
        allowance.answered(status, [Reading("default", 1200, 300.0, remaining, 200.0)], 200.0, allowance.sent())
    next_one = Allowance(budget, lambda: 7.0, Notes(lambda: notes[-1], notes.append, lambda: 1_700_000_100_000))
    assert (len(notes), next_one.is_blocked, next_one.request_seconds()) == (3, True, 100.0)


async def test_a_server_without_headers_is_not_limited(tmp_path: Path) -> None:
    """500 requests go as fast as they are answered."""
    async with Emulator(EmulatorSettings()) as emulator, bridge(tmp_path, emulator) as running:
        await running.add(*many(500))
        await running.until(lambda: not running.outbox.depth().ready)
        assert running.allowance.budget.state is State.OPEN
    assert len(emulator.journal.records) == 500


async def test_too_many_creations_hold_up_that_workflow_alone(tmp_path: Path) -> None:
    """The API takes fewer than it says: its refusal is no block, costs no attempt, and slows the workflow down."""
    rates = CreationSettings(per_workflow=50, per_account=300, retry_after_seconds=1)
    async with limited(1200, 300, creation=rates) as emulator, bridge(tmp_path, emulator) as running:
        await running.add(*(create(f"i-{n}", "busy") for n in range(200)))
        await running.add(create("other", "calm"))
        await running.until(lambda: not running.outbox.depth().ready)
        assert not running.allowance.is_blocked
        assert running.outbox.depth().dead == 0
    assert len({name for record in emulator.journal.records for name in record.created}) == 201


async def test_a_block_is_waited_out_by_the_next_process_too(tmp_path: Path) -> None:
    """Somebody else had the token blocked: nothing is sent until it is over, by whichever process."""
    async with limited(20, 3) as emulator:
        async with bridge(tmp_path, emulator) as running:
            await running.add(*many(1))
            await running.until(lambda: len(emulator.journal.records) == 1)
            stranger = Client(
                TargetSettings.model_validate(
                    {"account_id": emulator.account_id, "api_token": emulator.token, "base_url": emulator.base_url}
                ),
                (transport := FastTransport(TargetSettings(account_id="a", api_token="t"))),  # type: ignore[arg-type]  # noqa: S106
            )
            for _ in range(22):
                try:
                    await stranger.list_instances("w")
                except Exception:  # noqa: BLE001  that is what it is for
                    break
            await transport.close()
            await running.add(*many(2, first=1))
            await running.until(lambda: running.allowance.is_blocked)
        asked = len(emulator.journal.records)
        async with bridge(tmp_path, emulator) as running:
            await asyncio.sleep(0.2)
            assert len(emulator.journal.records) == asked
            await running.until(lambda: not running.outbox.depth().ready)
    assert sum(len(record.created) for record in emulator.journal.records) == 3
