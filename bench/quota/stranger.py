"""Somebody else on the same token: lists instances in bursts, all of a burst at once, a third of the quota in all."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from bench.quota.member import Distant, MemberLoop
from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import FastTransport

if TYPE_CHECKING:
    from pathlib import Path

SHARE, LARGEST_BURST = 1 / 3, 40
PER_SECOND = SHARE * 1200 / 300


def serve(place: Path, number: int, url: str, token: str, seed: int) -> None:
    """Run until SIGTERM."""
    chance = random.Random(seed)  # noqa: S311  seeded, so that a run can be repeated
    loop = MemberLoop(place, number)
    settings = TargetSettings.model_validate({"account_id": "none", "api_token": token})
    loop.run_until_complete(_ask(Distant(FastTransport(settings), loop, chance), url, token, chance))


async def _ask(transport: Distant, url: str, token: str, chance: random.Random) -> None:
    headers = {"authorization": f"Bearer {token}"}
    while True:
        burst = chance.randint(1, LARGEST_BURST)
        await asyncio.gather(*(transport.send("GET", url, headers, None, 30.0) for _ in range(burst)))
        await asyncio.sleep(burst / PER_SECOND * (0.5 + chance.random()))
