"""Somebody else on the same token: ``python -m bench.quota.stranger PLACE NUMBER URL TOKEN SEED``.

Lists instances in bursts of up to 40, all of a burst at once, a third of the quota in all.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from bench.quota.member import Distant, MemberLoop
from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import FastTransport

SHARE, LARGEST_BURST = 1 / 3, 40
PER_SECOND = SHARE * 1200 / 300


async def ask(transport: Distant, url: str, token: str, chance: random.Random) -> None:
    """For ever."""
    headers = {"authorization": f"Bearer {token}"}
    while True:
        burst = chance.randint(1, LARGEST_BURST)
        await asyncio.gather(*(transport.send("GET", url, headers, None, 30.0) for _ in range(burst)))
        await asyncio.sleep(burst / PER_SECOND * (0.5 + chance.random()))


def main() -> None:
    """Until it is ended."""
    place, number, url, token, seed = sys.argv[1:]
    chance = random.Random(int(seed))  # noqa: S311  seeded, so that a run can be repeated
    loop = MemberLoop(Path(place), int(number))
    settings = TargetSettings.model_validate({"account_id": "none", "api_token": token})
    transport = Distant(FastTransport(settings), loop, chance)
    loop.run_until_complete(ask(transport, url, token, chance))


if __name__ == "__main__":
    main()
