"""The command line: which commands there are."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge import __version__
from bridge.commands.backtest import backtest
from bridge.commands.check import check
from bridge.commands.dead_letters import dead_letters
from bridge.commands.demo import demo
from bridge.commands.emulator import emulator
from bridge.commands.eval import eval  # noqa: A004  the command's name
from bridge.commands.explain import explain
from bridge.commands.healthcheck import healthcheck
from bridge.commands.init import init
from bridge.commands.outbox import outbox
from bridge.commands.record import record
from bridge.commands.run import run
from bridge.commands.schema import schema
from bridge.commands.test import run_tests

app = typer.Typer(
    name="workflow-bridge",
    help="Message queues in, Cloudflare Workflows out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and these may hold secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    backtest,
    check,
    demo,
    emulator,
    eval,
    explain,
    healthcheck,
    init,
    record,
    run,
    schema,
):
    app.command()(command)
app.command("test")(run_tests)
app.add_typer(dead_letters)
app.add_typer(outbox)


def _version(wanted: bool) -> None:  # noqa: FBT001  typer calls it so
    if wanted:
        typer.echo(f"workflow-bridge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """See ``help`` above."""


def main() -> None:
    """Run the command line."""
    app()
