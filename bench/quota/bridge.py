"""The bridge as it is, in the conductor's time: ``python -m bench.quota.bridge PLACE NUMBER CONFIG``."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.quota.member import Distant, MemberLoop
from bridge import logs, parts
from bridge.app import App
from bridge.cloudflare.transport import open_transport
from bridge.config import load_config, secrets_of
from bridge.document import Files
from bridge.reload.reloader import Watched

if TYPE_CHECKING:
    from bridge.cloudflare.settings import TargetSettings


def main() -> None:
    """Run until SIGTERM."""
    path = Path(sys.argv[3])
    config = load_config(path)
    logs.configure(config.log.level, config.log.format, secrets_of(config))
    files = Files(path)
    loop = MemberLoop(Path(sys.argv[1]), int(sys.argv[2]))

    def distant(settings: TargetSettings) -> Distant:
        return Distant(open_transport(settings), loop, random.Random(path.stem))  # noqa: S311  the same every time

    parts.open_transport = distant  # type: ignore[attr-defined]

    async def run() -> None:
        await App(config, Watched(files, files.look()), loop.times()).run()

    loop.run_until_complete(run())
    loop.close()


if __name__ == "__main__":
    main()
