"""The bridge as it is, in time that goes faster: ``python -m bench.quota.bridge CONFIG SPEED``."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.quota.fast import FastLoop, fast_times
from bridge import logs
from bridge.app import App
from bridge.config import load_config, secrets_of
from bridge.document import Files
from bridge.reload.reloader import Watched


def main() -> None:
    """Run until SIGTERM."""
    path, speed = Path(sys.argv[1]), float(sys.argv[2])
    config = load_config(path)
    logs.configure(config.log.level, config.log.format, secrets_of(config))
    files = Files(path)
    loop = FastLoop(speed)

    async def run() -> None:
        await App(config, Watched(files, files.look()), fast_times(speed)).run()

    loop.run_until_complete(run())
    loop.close()


if __name__ == "__main__":
    main()
