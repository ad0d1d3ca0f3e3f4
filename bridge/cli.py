"""The command line: which commands there are."""

from __future__ import annotations

from inspect import cleandoc
from typing import Annotated

import typer

from bridge import __version__
from bridge.commands.backtest import backtest
from bridge.commands.check import check
from bridge.commands.control import audit, drain, log_level, pause, pauses, resume
from bridge.commands.dead_letters import dead_letters
from bridge.commands.demo import demo
from bridge.commands.doctor import doctor
from bridge.commands.emulator import emulator
from bridge.commands.eval import eval  # noqa: A004  the command's name
from bridge.commands.explain import explain
from bridge.commands.healthcheck import healthcheck
from bridge.commands.init import init
from bridge.commands.instances import instances
from bridge.commands.ledger import ledger
from bridge.commands.outbox import outbox
from bridge.commands.record import record
from bridge.commands.run import run
from bridge.commands.schema import schema
from bridge.commands.status import status
from bridge.commands.test import run_tests

app = typer.Typer(
    name="workflow-bridge",
    help="Message queues in, Cloudflare Workflows out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and these may hold secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    audit,
    backtest,
    check,
    demo,
    doctor,
    drain,
    emulator,
    eval,
    explain,
    healthcheck,
    init,
    ledger,
    log_level,
    pause,
    pauses,
    record,
    resume,
    run,
    schema,
    status,
):
    app.command()(command)
app.command("test")(run_tests)
app.add_typer(dead_letters)
app.add_typer(instances)
app.add_typer(outbox)


def _flowing(commands: typer.Typer) -> None:
    """Let the lines of a paragraph of help end where the terminal does, and not where those of the source do."""
    for command in commands.registered_commands:
        text = cleandoc(command.help or (command.callback.__doc__ if command.callback is not None else None) or "")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            _flowing(group.typer_instance)


_flowing(app)


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
