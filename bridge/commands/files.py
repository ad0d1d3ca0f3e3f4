"""What the commands have in common that try rules out: their options, and how they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from bridge.errors import Problem

WRONG = 2  # the exit code

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar="WORKFLOW_BRIDGE_CONFIG", help="The configuration file.")
]


def refuse(*problems: Problem | str) -> NoReturn:
    """Say what is wrong, and leave."""
    for problem in problems:
        typer.echo(str(problem), err=True)
    raise typer.Exit(WRONG)
