"""Faults of the API, made by the emulator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.torture.ground import Striking, Watch
from tests.torture.traffic import FULFIL

if TYPE_CHECKING:
    from tests.torture.ground import Ground
    from tests.torture.site import Site


SLOW = {"name": "slow", "do": "delay", "seconds": 1.0}


class Misbehaving(Striking):
    """The emulator does something to requests for some seconds; its count of them is the effect."""

    def __init__(self, name: str, least: int, **fault: Any) -> None:
        """least: how many requests it has to hit."""
        self.name = name
        self._least = least
        self._fault = fault

    async def strike_one(self, ground: Ground) -> str:
        site: Site = ground  # type: ignore[assignment]  # there are no others in this harness
        watch = Watch(ground, self.seconds)
        if self._fault["do"] == "omit":  # creates travel together only where they had to wait
            site.emulator.fault(**SLOW)
        site.emulator.fault(name=self.name, **self._fault)
        try:
            await watch.until(lambda: site.hits(self.name) >= self._least)
            await asyncio.sleep(site.rng.uniform(0, 3))
        finally:
            hits = site.mend(self.name)
            if self._fault["do"] == "omit":
                site.mend("slow")
            site.stopwatch.start()
        site.tally["left_out"] += 100 * hits if self._fault["do"] == "omit" else 0  # at most: what a batch holds
        return f"{hits} requests hit; the next call delivered after {await watch.delivered():.1f} s"


class TokenRevoked(Striking):
    """The token is taken away for some seconds, and given back."""

    name = "token_revoked"

    async def strike_one(self, ground: Ground) -> str:
        site: Site = ground  # type: ignore[assignment]  # there are no others in this harness
        watch = Watch(ground, self.seconds)
        site.emulator._tell("POST", "tokens", {"name": "main", "revoked": True})
        try:
            said = await watch.logged("paused")
            await asyncio.sleep(site.rng.uniform(0, 3))
        finally:
            site.emulator._tell("POST", "tokens", {"name": "main", "revoked": False})
            site.stopwatch.start()
        return f"{said['event']}; the next call delivered after {await watch.delivered():.1f} s"


FAULTS: list[Striking] = [
    Misbehaving("latency", 5, do="delay", seconds=(0.2, 2.0), probability=0.5),
    Misbehaving("errors", 5, do="error", status=503, probability=0.6),
    Misbehaving("gateway_pages", 5, do="error", status=502, envelope=False, probability=0.6),
    Misbehaving("errors_after_work", 3, do="error", status=500, work=True, operation=["create", "batch"]),
    Misbehaving("answers_lost", 3, do="lost", probability=0.4),
    Misbehaving("no_answers", 2, do="no-answer", probability=0.3),
    Misbehaving("resets", 3, do="lost", work=False, probability=0.5),
    Misbehaving("garbage", 3, do="garbage", probability=0.5),
    Misbehaving("rate_limit", 1, do="rate-limit", retry_after=3, count=1),
    Misbehaving("batches_cut_short", 1, do="omit", share=0.5),
    Misbehaving("workflow_missing", 1, do="no-workflow", workflow=FULFIL),
    TokenRevoked(),
]
