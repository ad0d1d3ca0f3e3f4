"""The emulator as it is, in the conductor's time."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from bench.quota.member import MemberLoop
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path


def serve(place: Path, number: int, settings: dict[str, object], told: Connection) -> None:
    """Tell where it is, and run until SIGTERM."""
    loop = MemberLoop(place, number)

    async def run() -> None:
        stopped = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
        async with Emulator(EmulatorSettings.model_validate(settings), loop.now_ms) as emulator:
            told.send(emulator.base_url)
            await stopped.wait()

    loop.run_until_complete(run())
    loop.close()
