"""What the commands have in common that try rules out: their options, and how they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import orjson
import typer

if TYPE_CHECKING:
    from bridge.errors import Problem

WRONG = 2  # the exit code

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar="WORKFLOW_BRIDGE_CONFIG", help="The configuration file.")
]


def said(error: Exception) -> str:
    """An error of the system as a person says it: the file's name and what is wrong with it, no number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def refuse(*problems: Problem | str, as_json: bool = False) -> NoReturn:
    """Say what is wrong, and leave.

    as_json: on standard output, as ``{"error": TEXT}``; where a configuration is wrong, ``"problems"`` beside it lists
    each with ``path``, ``message``, ``file`` and ``line`` (0: not known).
    """
    if as_json:
        found = [problem._asdict() for problem in problems if not isinstance(problem, str)]
        told: dict[str, object] = {"error": "\n".join(map(str, problems))}
        print(orjson.dumps(told | ({"problems": found} if found else {})).decode())
    else:
        for problem in problems:
            typer.echo(str(problem), err=True)
    raise typer.Exit(WRONG)
