"""The bridge as it is, in the conductor's time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from bench.quota.member import Distant, MemberLoop, counted
from bridge import logs, parts
from bridge.app import App
from bridge.cloudflare.transport import open_transport
from bridge.config import load_config, secrets_of
from bridge.document import Files
from bridge.outbox import sqlite
from bridge.outbox.writer import Writer
from bridge.reload.reloader import Watched

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.cloudflare.settings import TargetSettings


def serve(place: Path, number: int, path: Path) -> None:
    """Run until SIGTERM. ``path``: of the configuration."""
    config = load_config(path)
    logs.configure(config.log.level, config.log.format, secrets_of(config))
    files = Files(path)
    loop = MemberLoop(place, number)

    def distant(settings: TargetSettings) -> Distant:
        return Distant(open_transport(settings), loop, random.Random(number))  # noqa: S311  the same every time

    parts.open_transport = distant  # type: ignore[attr-defined]
    sqlite.Writer = counted(Writer, loop.selector)  # type: ignore[misc]

    async def run() -> None:
        await App(config, Watched(files, files.look()), loop.times()).run()

    loop.run_until_complete(run())
    loop.close()
