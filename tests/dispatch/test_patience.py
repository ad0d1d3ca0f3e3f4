"""What counts towards ``wait`` and ``give_up_after`` when calls are held back; with a clock that runs faster."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from bridge.call import Policy
from bridge.cloudflare.client import Client
from bridge.dispatch.allowance import Allowance, Notes
from bridge.dispatch.dispatcher import Dispatcher
from bridge.dispatch.gate import Line
from bridge.dispatch.metered import Metered
from bridge.dispatch.sending import Sender
from bridge.dispatch.timeline import Clock
from bridge.message import Message
from bridge.metrics import Metrics
from bridge.outbox.base import Intake
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.dispatch.fast_loop import fast_clock, run_fast
from tests.dispatch.in_process import InProcess
from tests.dispatch.test_dispatcher import create, event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridge.call import Call
    from bridge.cloudflare.transport import Answer

SPEED = 400.0  # 20 minutes in 3 seconds
QUOTA = {"requests": 60, "window_seconds": 300}  # of which 54 are for the bridge
BACKLOG = 240  # requests that take more than 20 minutes
now_ms = fast_clock(SPEED)


class Api(InProcess):
    """Notes when each event was asked for, and with which answer."""

    def __init__(self) -> None:
        super().__init__(now_ms, workflows={"wait": "waits: go", "*": "completes"}, quota=QUOTA)
        self.events: list[tuple[int, int]] = []

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        """See Transport."""
        answer = await super().send(method, url, headers, body, timeout_seconds)
        if "/events/" in url:
            self.events.append((now_ms(), answer.status))
        return answer


async def add(outbox: SqliteOutbox, first: int, *calls: Call) -> int:
    """Store them; gives when they arrived."""
    at_ms = now_ms()
    pairs = [(Message("orders", f"t/0/{first + n}", "t", None, (), b"{}", at_ms, {}), c) for n, c in enumerate(calls)]
    await (await outbox.add(Intake("orders", pairs, [], {}, at_ms))).wait()
    return at_ms


async def behind_a_backlog(folder: Path) -> tuple[Api, int, int]:
    """A backlog, then an early event and the create that it waits for; gives its arrival, and how many calls died."""
    api, metrics = Api(), Metrics()
    outbox = SqliteOutbox(SqliteSettings(path=folder / "outbox.db"), clock=now_ms)
    await outbox.open()
    notes = Notes(lambda: outbox.noted("quota"), lambda text: outbox.note("quota", text), now_ms)
    allowance = Allowance(api.target.budget, lambda: now_ms() / 1000, notes)
    sender = Sender(Client(api.target, Metered(api, allowance)), metrics, asyncio.get_running_loop().time)
    lines = {"main": Line(sender, 8, allowance)}
    await add(outbox, 0, *(create(f"i-{n}", f"w-{n}") for n in range(BACKLOG)))
    early = event("early", policy=Policy("early", wait_seconds=900))
    arrived_ms = await add(outbox, BACKLOG, early, create("early", "wait"))
    dispatcher = Dispatcher(outbox, lines, metrics, Clock(now_ms, random.Random(1).random, lambda: now_ms() / 1000))
    task = asyncio.create_task(dispatcher.run())
    while outbox.depth().ready or outbox.depth().later:
        await asyncio.sleep(5.0)
    dead = outbox.depth().dead
    dispatcher.stop()
    await task
    await outbox.close()
    return api, arrived_ms, dead


def test_an_early_event_behind_a_backlog_of_twenty_minutes_is_not_lost(tmp_path: Path) -> None:
    """The budget holds it back for longer than its ``wait 15m``: that begins when it is first asked for in vain."""
    api, arrived_ms, dead = run_fast(behind_a_backlog(tmp_path), SPEED)
    (first_ms, first), *_, (_, last) = api.events
    assert first_ms - arrived_ms > 20 * 60_000
    assert (first, last, dead) == (404, 200, 0)
