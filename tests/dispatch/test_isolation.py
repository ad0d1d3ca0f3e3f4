"""What is broken stops only itself: a missing workflow, a revoked token, and the latency of everything else."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from typing import TYPE_CHECKING

import pytest

from bridge.cloudflare.client import Client
from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import Answer
from bridge.dispatch.dispatcher import Clock, Dispatcher
from bridge.dispatch.gate import Line
from bridge.dispatch.sending import Sender
from bridge.metrics import Metrics
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.dispatch.test_dispatcher import create, intake, now_ms, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridge.call import Call

ROUNDS, PROBES, BACKLOG = 4, 40, 300


class Api:
    """Creates instances, one at a time or in batches, unless it is told that something is broken."""

    def __init__(self) -> None:
        self.missing: set[str] = set()  # workflows
        self.revoked = False
        self.made: dict[str, float] = {}  # instance -> when

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        """See Transport."""
        del method, headers, timeout_seconds
        await asyncio.sleep(0.002)
        if self.revoked:
            return refusal(401, 10000)
        if any(f"/workflows/{name}/" in url for name in self.missing):
            return refusal(404, 10200)
        names = [part.split(b'"')[0].decode() for part in (body or b"").split(b'"instance_id":"')[1:]]
        self.made |= dict.fromkeys(names, time.monotonic())
        told = [b'{"id":"%s","status":"queued"}' % name.encode() for name in names]
        result = b"[%s]" % b",".join(told) if url.endswith("/batch") else told[0]
        return Answer(200, {}, b'{"success":true,"errors":[],"messages":[],"result":%s}' % result)

    async def close(self) -> None:
        """See Transport."""


async def _latency(outbox: SqliteOutbox, api: Api, names: list[str]) -> list[float]:
    """Seconds from the outbox to the API, for calls that come one after the other."""
    found = []
    for name in names:
        began = time.monotonic()
        await outbox.add(intake([create(name, "good")]))
        while name not in api.made:
            await asyncio.sleep(0.0005)
        found.append(api.made[name] - began)
    return found


def _elsewhere(calls: list[Call]) -> list[Call]:
    return [call._replace(target="other") for call in calls]


@pytest.mark.slow
async def test_what_is_broken_slows_nothing_else_and_comes_back_by_itself(tmp_path: Path) -> None:
    """A workflow is missing and then another target's token is revoked, each with a backlog: the others stay quick.

    Everything is delivered after the repair, without a restart and without a dead letter. The rounds alternate, so that
    a busy machine slows both sides.
    """
    apis = {"main": Api(), "other": Api()}
    target = TargetSettings.model_validate({"account_id": "a" * 32, "api_token": "t"})
    metrics = Metrics()
    outbox = SqliteOutbox(SqliteSettings(path=tmp_path / "outbox.db"), clock=now_ms)
    await outbox.open()
    lines = {name: Line(Sender(Client(target, api), metrics, time.monotonic), 8) for name, api in apis.items()}
    dispatcher = Dispatcher(outbox, lines, metrics, Clock(now_ms, random.Random(1).random))
    task = asyncio.create_task(dispatcher.run())
    well: list[float] = []
    broken: dict[str, list[float]] = {"missing": [], "revoked": []}
    for round_ in range(ROUNDS):
        for what in broken:
            well += await _latency(outbox, apis["main"], [f"w-{round_}-{what}-{n}" for n in range(PROBES)])
            apis["main"].missing, apis["other"].revoked = ({"gone"}, False) if what == "missing" else (set(), True)
            backlog = [create(f"{what}-{round_}-{n}", "gone" if what == "missing" else "good") for n in range(BACKLOG)]
            await outbox.add(intake(backlog if what == "missing" else _elsewhere(backlog)))
            while not dispatcher.paused:
                await asyncio.sleep(0.001)
            broken[what] += await _latency(outbox, apis["main"], [f"b-{round_}-{what}-{n}" for n in range(PROBES)])
            apis["main"].missing, apis["other"].revoked = set(), False
            async with asyncio.timeout(60):
                while outbox.depth().ready or outbox.depth().later or dispatcher.paused:
                    await asyncio.sleep(0.01)
    assert outbox.depth().dead == 0
    dispatcher.stop()
    await task
    await outbox.close()
    assert sum(name.startswith("missing-") for name in apis["main"].made) == ROUNDS * BACKLOG
    assert sum(name.startswith("revoked-") for name in apis["other"].made) == ROUNDS * BACKLOG
    ratios = {what: statistics.median(ill) / statistics.median(well) for what, ill in broken.items()}
    assert max(ratios.values()) <= 1.2, ratios
