"""Events ten minutes before their create: each goes as its instance comes, and asking before costs next to nothing."""

from __future__ import annotations

import asyncio
import random
import statistics
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import pytest

from bridge.call import HIGH, Policy
from bridge.cloudflare.client import Client
from bridge.dispatch.allowance import Allowance, Notes
from bridge.dispatch.dispatcher import Dispatcher
from bridge.dispatch.gate import Line
from bridge.dispatch.metered import Metered
from bridge.dispatch.sending import Sender
from bridge.dispatch.timeline import Clock
from bridge.metrics import Metrics
from bridge.outbox.base import Depth
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.dispatch.fast_loop import Pace, run_fast
from tests.dispatch.in_process import InProcess
from tests.dispatch.test_dispatcher import create, event, intake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from bridge.cloudflare.transport import Answer
    from bridge.outbox.base import Entry

    Scene = Callable[[Path, Pace], Coroutine[object, object, tuple[list[float], float]]]

LANES = 1_000
EARLY_SECONDS = 600
QUOTA = {"requests": 1200, "window_seconds": 300}
BUDGET = 1080  # of it, without the reserve
FAST = 100.0
# Half of them. On two quiet cores 35 to 50 ms, most of it the turns that a thousand take at once; on slower ones up to
# 75 were seen. What is not told of its instance waits for its next probe: seconds.
READY_SECONDS = 0.15
SENT_SECONDS = 2.0
RUNS = 5
POLICY = Policy("early", wait_seconds=900)


class Api(InProcess):
    """Notes when each instance was made, and when each event was asked for and with which answer."""

    def __init__(self, pace: Pace, **settings: object) -> None:
        super().__init__(pace.now_ms, workflows={"*": "waits: go"}, **settings)
        self._pace = pace
        self.made: dict[str, float] = {}
        self.sent: dict[str, float] = {}
        self.refused = 0

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        """See Transport."""
        answer = await super().send(method, url, headers, body, timeout_seconds)
        now = self._pace.seconds()
        if "/events/" not in url:
            self.made |= {one["id"]: now for one in orjson.loads(answer.body)["result"]}
        elif answer.status == 200:
            self.sent[url.split("/")[-3]] = now
        else:
            self.refused += 1
        return answer


class Watched(SqliteOutbox):
    """Notes when each event became ready for the last time."""

    pace: Pace
    ready: dict[str, float]

    async def due(self, now_ms: int, limit: int) -> Sequence[Entry]:
        """See Outbox."""
        entries = await super().due(now_ms, limit)
        self.ready |= dict.fromkeys([entry.instance_id for entry in entries], self.pace.seconds())
        return entries


@asynccontextmanager
async def early_events(folder: Path, pace: Pace, api: Api) -> AsyncIterator[Watched]:
    """An outbox in which an event waits in each lane for ten minutes, while a dispatcher sends what may be sent."""
    outbox = Watched(SqliteSettings(path=folder / "outbox.db"), clock=pace.now_ms)
    outbox.pace, outbox.ready = pace, {}
    await outbox.open()
    notes = Notes(lambda: "", lambda _: None, pace.now_ms)
    allowance = Allowance(api.target.budget, pace.seconds, notes)
    metrics = Metrics()
    sender = Sender(Client(api.target, Metered(api, allowance)), metrics, pace.seconds)
    dispatcher = Dispatcher(
        outbox, {"main": Line(sender, 8, allowance)}, metrics, Clock(pace.now_ms, random.Random(1).random, pace.seconds)
    )
    task = asyncio.create_task(dispatcher.run())
    await (await outbox.add(intake(event(f"i-{n}", policy=POLICY) for n in range(LANES)))).wait()
    await asyncio.sleep(EARLY_SECONDS)
    yield outbox
    dispatcher.stop()
    await task
    assert outbox.depth() == Depth(0, 0, 0, 0)
    await outbox.close()


async def make_instances(outbox: Watched) -> None:
    """What all of them wait for; they go before the events that they wake, which would use up the budget first."""
    creates = (create(f"i-{n}", "wait")._replace(priority=HIGH) for n in range(LANES))
    await (await outbox.add(intake(creates))).wait()


def delays(outbox: Watched, api: Api) -> list[float]:
    """Seconds from each create's success until its event was ready, sorted."""
    return sorted(outbox.ready[name] - at for name, at in api.made.items())


async def with_quota(folder: Path, pace: Pace) -> tuple[list[float], float]:
    """The delays, and the share of the budget that was spent on asking in vain for a second time and more."""
    api = Api(pace, quota=QUOTA)
    async with early_events(folder, pace, api) as outbox:
        probes = api.refused - LANES
        outbox.ready.clear()
        pace.speed = 1.0
        await make_instances(outbox)
        async with asyncio.timeout(60):
            while len(outbox.ready) < LANES:
                await asyncio.sleep(0.01)
        pace.speed = FAST
        async with asyncio.timeout(EARLY_SECONDS):
            while len(api.sent) < LANES:
                await asyncio.sleep(1.0)
    return delays(outbox, api), probes / (BUDGET * EARLY_SECONDS / 300)


async def without_quota(folder: Path, pace: Pace) -> tuple[list[float], float]:
    """The delays, and how long after its create the last event was sent."""
    api = Api(pace)
    async with early_events(folder, pace, api) as outbox:
        outbox.ready.clear()
        pace.speed = 1.0
        await make_instances(outbox)
        async with asyncio.timeout(60):
            while len(api.sent) < LANES:
                await asyncio.sleep(0.01)
    return delays(outbox, api), max(api.sent[name] - at for name, at in api.made.items())


def soon(seconds: Sequence[float]) -> bool:
    """Whether they are what is promised; the last one by the wall clock is the computer's affair as well."""
    return statistics.median(seconds) <= READY_SECONDS and seconds[-1] <= 5 * READY_SECONDS


def measured(scene: Scene, folder: Path, good: Callable[[list[float], float], bool]) -> float:
    """The second figure of the first good run; fails when none of some is: another program may take the processors.

    What the bridge itself is late by, it is late by each time.
    """
    runs = []
    for run in range(RUNS):
        (folder / str(run)).mkdir()
        pace = Pace(FAST)
        seconds, other = run_fast(scene(folder / str(run), pace), pace)
        if good(seconds, other):
            return other
        runs.append(f"{told(seconds)}; {other:.3f}")
    pytest.fail("\n".join(runs))


def told(seconds: Sequence[float]) -> str:
    """For people."""
    first, middle, last = seconds[0], statistics.median(seconds), seconds[-1]
    return f"ready {1000 * first:.1f} to {1000 * last:.1f} ms after the create, median {1000 * middle:.1f}"


@pytest.mark.slow
def test_early_events_are_ready_at_once_and_ask_seldom(tmp_path: Path) -> None:
    """With the API's quota: ready at once, sent as the budget allows; a fiftieth of it goes into asking."""
    share = measured(with_quota, tmp_path, lambda seconds, _: soon(seconds))
    assert share <= 0.02


@pytest.mark.slow
def test_early_events_are_sent_at_once_where_nothing_limits_them(tmp_path: Path) -> None:
    """Without a quota: all within two seconds of their creates."""
    measured(without_quota, tmp_path, lambda seconds, sent: soon(seconds) and sent <= SENT_SECONDS)
