"""``workflow-bridge run``: the daemon."""

from __future__ import annotations

import signal
from pathlib import Path  # noqa: TC003  typer reads it
from typing import Annotated

import typer
import uvloop

from bridge import logs
from bridge.app import App
from bridge.config import FURTHER_FILES, Config, load_config
from bridge.document import Files
from bridge.errors import BridgeError, ConfigError, OutboxDamaged, OutboxLocked
from bridge.reload.reloader import Watched
from bridge.secrecy import redact

EXIT_FAILED, EXIT_CONFIG, EXIT_LOCKED, EXIT_DAMAGED = 1, 2, 3, 4


def run(
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="WORKFLOW_BRIDGE_CONFIG", help="The configuration file.")
    ],
) -> None:
    """Consume, route and deliver until SIGTERM or SIGINT; a second signal leaves at once. SIGHUP reloads.

    Exit codes: 0 stopped, 2 the configuration cannot be used, 3 another process owns the outbox, 4 its file is damaged
    (see `workflow-bridge outbox check`), 1 anything else.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until somebody listens; what has changed is noticed then
    files = Files(config, FURTHER_FILES)
    try:
        watched = Watched(files, files.look())
        settings = load_config(config)
        logs.configure(settings.log.level, settings.log.format)
        uvloop.run(_run(settings, watched))
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    except BridgeError as error:
        typer.echo(f"workflow-bridge: {redact(str(error))}", err=True)
        raise typer.Exit(_exit_code(error)) from None


def _exit_code(error: BridgeError) -> int:
    if isinstance(error, OutboxLocked):
        return EXIT_LOCKED
    return EXIT_DAMAGED if isinstance(error, OutboxDamaged) else EXIT_FAILED


async def _run(settings: Config, watched: Watched) -> None:
    await App(settings, watched).run()
