"""The emulator as it is, in the conductor's time: ``python -m bench.quota.emulator PLACE NUMBER SETTINGS``."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from bench.quota.member import MemberLoop
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings


def main() -> None:
    """Say where it is, and run until SIGTERM."""
    loop = MemberLoop(Path(sys.argv[1]), int(sys.argv[2]))
    settings = EmulatorSettings.model_validate_json(Path(sys.argv[3]).read_bytes())

    async def run() -> None:
        stopped = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
        async with Emulator(settings, loop.now_ms) as emulator:
            print(emulator.base_url, flush=True)
            await stopped.wait()

    loop.run_until_complete(run())
    loop.close()


if __name__ == "__main__":
    main()
