"""The machine's clock is set by an hour, ahead or back, while calls wait, or while the process is down."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest

from bridge.call import Policy
from bridge.dispatch.loading import Loader
from bridge.dispatch.timeline import Clock, Timeline
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings
from bridge.outbox.base import Queue, Settlement, Verdict
from bridge.outbox.later import RECALLED_AT_ONCE
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.dispatch.test_allowance import Running, bridge, limited, many
from tests.dispatch.test_dispatcher import create, event, intake, now_ms, refusal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.dispatch.test_dispatcher import Fault

HOUR_MS = 3_600_000
SETS = pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS], ids=["ahead", "back"])


class Machine:
    """Its clock, the time of day."""

    def __init__(self) -> None:
        self.set_ms = 0

    def __call__(self) -> int:
        return now_ms() + self.set_ms


async def all_sent(running: Running) -> None:
    await running.until(lambda: not (running.outbox.depth().ready or running.outbox.depth().later))


def paused(running: Running) -> bool:
    return "workflow_bridge_paused{" in generate_latest(running.metrics.registry).decode()


@SETS
async def test_a_quota_that_is_used_up(tmp_path: Path, by_ms: int) -> None:
    """It comes back when it would have come back, and is kept."""
    machine = Machine()
    async with limited(10, 1) as emulator, bridge(tmp_path, emulator, machine) as running:
        await running.add(*many(20))
        await running.until(lambda: running.metric("throttled_seconds_total", target="main", reason="budget") > 0)
        machine.set_ms = by_ms
        await all_sent(running)
    assert [record.status for record in emulator.journal.records] == [200] * 20


FAULTS = {
    "retry": refusal(500, 10001),
    "missing workflow": refusal(404, 10200),
    "refused token": refusal(403, 10000),
    "block": refusal(429, 971, retry_after="2"),
}


@pytest.mark.parametrize(("what", "by_ms"), [("retry", HOUR_MS), *((what, -HOUR_MS) for what in FAULTS)])
async def test_a_call_that_waits(tmp_path: Path, what: str, by_ms: int) -> None:
    """After a failed attempt, or because its workflow or its target is paused: for seconds, not for an hour."""
    machine, faults = Machine(), [FAULTS[what]]

    def fault(_url: str, _body: bytes | None) -> Fault:
        return faults.pop() if faults else None

    async with limited(100, 300) as emulator, bridge(tmp_path, emulator, machine, fault) as running:
        await running.add(create("i"))
        await running.until(lambda: bool(running.outbox.depth().later or paused(running)))
        machine.set_ms = by_ms
        await all_sent(running)
    assert [record.created for record in emulator.journal.records] == [["i"]]


@SETS
async def test_a_parked_call_probes_when_it_was_to(tmp_path: Path, by_ms: int) -> None:
    """Somebody else makes the instance; a clock that is set ahead makes the probe no earlier either."""
    machine = Machine()
    api = EmulatorSettings.model_validate({"workflows": {"wait": "waits: go"}})
    async with Emulator(api) as emulator, bridge(tmp_path, emulator, machine) as running:
        began = time.monotonic()  # the wait counts from the verdict, which is seen a little later
        await running.add(event("i", policy=Policy("r", wait_seconds=60)))
        await running.until(lambda: running.outbox.depth().parked == 1)
        machine.set_ms = by_ms
        await running.add(create("other", "wait"))
        await running.until(lambda: len(emulator.journal.records) == 3)
        assert time.monotonic() - began > 0.4
    assert [record.operation for record in emulator.journal.records] == ["event", "create", "event"]


@SETS
async def test_the_next_process(tmp_path: Path, by_ms: int) -> None:
    """The clock was set while no process ran: what waits, waits no longer than it was to, nor does the quota."""
    machine, faults = Machine(), [refusal(500, 10001)]
    async with limited(10, 1) as emulator:
        async with bridge(tmp_path, emulator, machine, lambda *_: faults.pop() if faults else None) as running:
            await running.add(*many(20))
            await running.until(lambda: running.metric("throttled_seconds_total", target="main", reason="budget") > 0)
        machine.set_ms = by_ms
        async with bridge(tmp_path, emulator, machine) as running:
            await all_sent(running)
    assert {record.status for record in emulator.journal.records} == {200}


async def test_a_block_of_before(tmp_path: Path) -> None:
    """A process ends while its token is blocked, and the clock is set back: the next one waits for the block alone."""
    machine, faults = Machine(), [refusal(429, 971, retry_after="2")]
    async with limited(100, 300) as emulator:
        async with bridge(tmp_path, emulator, machine, lambda *_: faults.pop()) as running:
            await running.add(create("i"))
            await running.until(lambda: running.allowance.is_blocked)
            await running.add(create("j"))
        machine.set_ms = -HOUR_MS
        async with bridge(tmp_path, emulator, machine) as running:
            assert running.allowance.request_seconds() <= 2
            await all_sent(running)


async def test_a_time_of_day_stays_one(tmp_path: Path) -> None:
    """A call for half an hour from now goes when the clock says so, however it came to that."""
    machine = Machine()
    async with limited(100, 300) as emulator, bridge(tmp_path, emulator, machine) as running:
        await running.add(create("i")._replace(not_before_ms=machine() + HOUR_MS // 2))
        machine.set_ms = -HOUR_MS
        await running.add(create("one"))
        await running.until(lambda: running.outbox.depth().ready == 0)
        machine.set_ms = HOUR_MS
        await running.add(create("two"))
        await all_sent(running)
    created = [name for record in emulator.journal.records for name in record.created]
    assert (created[0], set(created[1:])) == ("one", {"two", "i"})


@SETS
async def test_what_is_freed_while_a_set_clock_is_followed(tmp_path: Path, by_ms: int) -> None:
    """It is due, whether its turn to be moved comes then or was before: it was to wait for nothing any more."""
    machine = Machine()
    timeline = Timeline(machine, time.monotonic)
    outbox = SqliteOutbox(SqliteSettings(path=tmp_path / "outbox.db"), clock=timeline.now_ms)
    await outbox.open()
    await (await outbox.add(intake(event(f"i-{n}") for n in range(2 * RECALLED_AT_ONCE)))).wait()
    queue, soon_ms = Queue("main", "wait"), timeline.now_ms() + 600_000
    parked = await outbox.pending(queue, 0, 2 * RECALLED_AT_ONCE)
    await outbox.settle([Settlement(one, Verdict.PARK, at_ms=soon_ms) for one in parked])
    loader = Loader(outbox, timeline.now_ms)
    clock = Clock(timeline.now_ms, random.Random(1).random, time.monotonic, timeline.was_set, timeline.follow)
    await loader.follow(clock)
    machine.set_ms = by_ms
    following = asyncio.create_task(loader.follow(clock))
    await asyncio.sleep(0)  # the first transaction is the writer's by now
    await outbox.unpark(queue, ["i-0", f"i-{2 * RECALLED_AT_ONCE - 1}"])
    assert not following.done()
    await following
    due = await outbox.due(timeline.now_ms(), 10)
    assert (timeline.was_set(), {one.instance_id for one in due}) == (0, {"i-0", f"i-{2 * RECALLED_AT_ONCE - 1}"})
    next_ms = outbox.next_due_ms()
    assert next_ms is not None
    assert abs(next_ms - soon_ms - by_ms) < 1_000
    await outbox.close()


def test_a_timeline_goes_on_evenly() -> None:
    """Whatever the clock is set to, until it is told to follow; less than a second is not worth that."""
    wall_ms, seconds = 5_000_000, 100.0
    timeline = Timeline(lambda: wall_ms, lambda: seconds)
    assert (timeline.now_ms(), timeline.was_set()) == (5_000_000, 0)
    wall_ms, seconds = wall_ms + HOUR_MS + 2_000, seconds + 2
    assert (timeline.now_ms(), timeline.was_set(), timeline.was_set()) == (5_002_000, HOUR_MS, HOUR_MS)
    timeline.follow(HOUR_MS)
    assert (timeline.now_ms(), timeline.was_set()) == (wall_ms, 0)
    wall_ms += 900
    assert (timeline.was_set(), timeline.now_ms()) == (0, wall_ms - 900)
    wall_ms -= HOUR_MS
    assert timeline.was_set() == 900 - HOUR_MS
    timeline.follow(900 - HOUR_MS)
    assert (timeline.now_ms(), timeline.was_set()) == (wall_ms, 0)
