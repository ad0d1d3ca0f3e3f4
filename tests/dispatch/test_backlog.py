"""Cost does not grow with the backlog: what SQLite does for a message is counted, next to a backlog of a hundredth."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from bench.backlog import WORKFLOW, Pending, preload
from bridge.cloudflare.client import Client
from bridge.dispatch.dispatcher import Dispatcher
from bridge.dispatch.gate import Line
from bridge.dispatch.sending import Sender
from bridge.dispatch.surplus import WINDOW_ENTRIES
from bridge.dispatch.timeline import Clock
from bridge.metrics import Metrics
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.dispatch.in_process import InProcess
from tests.dispatch.test_dispatcher import create, event, intake, now_ms

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

TOTAL = 60_000
STEPS = 100  # of SQLite's virtual machine, counted together
MESSAGES = 200  # each an order and its payment
COSTLIER = 1.05


class Cost(NamedTuple):
    """For all messages together."""

    statements: int
    steps: int  # of SQLite's virtual machine, in hundreds
    loaded: int  # entries in the window when all is done


class Counting:
    """Counts what a connection does."""

    def __init__(self) -> None:
        self.statements = self.steps = 0

    def watch(self, connection: sqlite3.Connection) -> None:
        """From now on."""
        connection.set_trace_callback(self._statement)
        connection.set_progress_handler(self._step, STEPS)

    def _statement(self, _: str) -> None:
        self.statements += 1

    def _step(self) -> int:
        self.steps += 1
        return 0


async def cost(path: Path, pending: Pending) -> Cost:
    """Preload an outbox, and send fresh calls of the same queue through it, one message after the other."""
    await preload(path, pending)
    api = InProcess(now_ms, workflows={WORKFLOW: "waits: paid"})
    outbox, metrics, counting = SqliteOutbox(SqliteSettings(path=path), clock=now_ms), Metrics(), Counting()
    await outbox.open()
    lines = {"main": Line(Sender(Client(api.target, api), metrics, time.monotonic), 8)}
    dispatcher = Dispatcher(outbox, lines, metrics, Clock(now_ms, random.Random(1).random, time.monotonic))
    task = asyncio.create_task(dispatcher.run())
    await sent(outbox, "warm")
    while not dispatcher.paused:  # the workflow that is missing
        await asyncio.sleep(0.01)
    before = outbox.depth()
    counting.watch(outbox._writer._store._connection)
    counting.watch(outbox._reader._connection)
    for number in range(MESSAGES):
        await sent(outbox, f"fresh-{number}")
    found = Cost(counting.statements, counting.steps, sum(w.size for w in dispatcher._loader.windows.values()))
    assert outbox.depth()[:3] == before[:3]
    dispatcher.stop()
    await task
    await outbox.close()
    return found


async def sent(outbox: SqliteOutbox, name: str) -> None:
    """Store an order and its payment, and wait until both are delivered."""
    waiting = outbox.depth().ready
    await (await outbox.add(intake([create(name, WORKFLOW), event(name, workflow=WORKFLOW)]))).wait()
    async with asyncio.timeout(30):
        while outbox.depth().ready > waiting:
            await asyncio.sleep(0.001)


@pytest.mark.slow
async def test_sixty_thousand_that_wait_cost_the_others_nothing(tmp_path: Path) -> None:
    """Behind a blocked lane, parked, delayed, and of a workflow that is missing: all but the last in the same queue."""
    few = await cost(tmp_path / "few" / "outbox.db", Pending.of(TOTAL // 100))
    many = await cost(tmp_path / "many" / "outbox.db", Pending.of(TOTAL))
    assert many.statements <= COSTLIER * few.statements, (few, many)
    assert many.steps <= COSTLIER * few.steps, (few, many)
    assert many.loaded <= 2 * WINDOW_ENTRIES
