"""``workflow-bridge outbox``: the file of an SQLite outbox."""

from __future__ import annotations

import json as encoding
from pathlib import Path  # noqa: TC003  typer reads it
from threading import Thread
from typing import Annotated

import typer

from bridge.commands.files import refuse
from bridge.config import load_config
from bridge.errors import ConfigError
from bridge.outbox.integrity import WholeCheck
from bridge.outbox.settings import SqliteSettings

DAMAGED, INTERRUPTED = 1, 130  # exit codes; 2, as everywhere: there is nothing to work on
LOOK_SECONDS = 0.2  # how soon Ctrl-C is noticed
ADVICE = """\
What to do: stop the bridge, and keep the file as it is, with its -wal and -shm files. Restore a copy, or recover what
can be read into a new file and check that one: sqlite3 {path} .recover | sqlite3 recovered.db
Starting without the file sends nothing that only it held; the broker gives again what was not acknowledged."""

outbox = typer.Typer(name="outbox", help="The file of an SQLite outbox.", no_args_is_help=True)


@outbox.callback()
def _group() -> None:
    """A group, though it has one command."""


@outbox.command()
def check(
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", envvar="WORKFLOW_BRIDGE_CONFIG", help="The configuration that names the outbox."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--outbox", help="The outbox file itself; no configuration is read then.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Read the whole file and tell whether it is damaged; beside a running bridge, too. Nothing is changed.

    At each start the bridge looks for damage for a second at most; this takes as long as it takes, about a second for
    each GiB of a fast disk. Exit 0: it is whole; 1: it is damaged, and what to do is said; 2: there is no outbox to
    read; 130: interrupted.
    """
    path = file or _file_of(config)
    if not json and path.is_file():
        typer.echo(f"checking {path}, {path.stat().st_size / (1 << 20):.1f} MiB …", err=True)
    whole = _checked(path)
    if whole.failure is not None:
        refuse(str(whole.failure))
    if json:
        typer.echo(encoding.dumps({"path": str(path), "damaged": bool(whole.faults), "faults": list(whole.faults)}))
    else:
        for fault in whole.faults:
            typer.echo(fault)
        typer.echo(ADVICE.format(path=path) if whole.faults else "the file is whole", err=bool(whole.faults))
    raise typer.Exit(DAMAGED if whole.faults else 0)


def _checked(path: Path) -> WholeCheck:
    """In a thread of its own, so that Ctrl-C is noticed while SQLite reads."""
    whole = WholeCheck(path)
    checking = Thread(target=whole.run)
    checking.start()
    try:
        while checking.is_alive():
            checking.join(LOOK_SECONDS)
    except KeyboardInterrupt:
        whole.interrupt()
        checking.join()
        raise typer.Exit(INTERRUPTED) from None
    return whole


def _file_of(config: Path | None) -> Path:
    if config is None:
        refuse("say which outbox: --outbox FILE, or --config FILE (or WORKFLOW_BRIDGE_CONFIG)")
    try:
        loaded = load_config(config)
    except ConfigError as error:
        refuse(*map(str, error.problems), "without a right configuration name the file: --outbox FILE")
    if not isinstance(loaded.outbox, SqliteSettings):
        refuse(f"the outbox of {config} is memory: there is no file to check")
    return loaded.outbox.path
