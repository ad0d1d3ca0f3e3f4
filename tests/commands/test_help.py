"""The help of every command."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import typer
from typer.testing import CliRunner

from bridge.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator


def commands(group: Any, *before: str) -> Iterator[tuple[str, ...]]:
    """The words that each command begins with, groups included."""
    for name, command in getattr(group, "commands", {}).items():
        yield (*before, name)
        yield from commands(command, *before, name)


def test_help_is_whole_lines_at_80_columns() -> None:
    """A line ends where the next word would not fit any more, not where one of the source does."""
    names = list(commands(typer.main.get_command(app)))
    assert ("dead-letters", "redrive") in names
    for name in names:
        shown = CliRunner(env=os.environ | {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).invoke(app, [*name, "--help"])
        prose = [line.strip() for line in shown.output.split("╭")[0].split("\n")]
        short = [
            (line, after)
            for line, after in pairwise(prose)
            if line and after and len(f"{line} {after.split()[0]}") < 78
        ]
        assert (name, []) == (name, short)


def test_every_command_finds_its_configuration_in_the_environment() -> None:
    """Where --config is left out; one that has neither says which variable it looked for, and leaves with 2."""
    asked = []
    for words in commands(typer.main.get_command(app)):
        command = found(*words)
        for option in command.params:
            if "--config" in option.opts and words != ("emulator",):  # which has one of its own
                assert option.envvar == "WORKFLOW_BRIDGE_CONFIG", words
                asked.append(words)
    alone = ("run", "check", "doctor", "status", "test", "pauses", "audit", "drain", "ledger", "dead-letters list")
    given = [*alone, "dead-letters show 1", "instances get w i", "pause all --reason r", "explain -", "backtest -"]
    assert {tuple(line.split()) for line in alone} <= set(asked)
    for line in given:
        told = CliRunner(env={"WORKFLOW_BRIDGE_CONFIG": None, "COLUMNS": "200"}).invoke(app, line.split())
        assert (line, told.exit_code, "WORKFLOW_BRIDGE_CONFIG" in told.stderr) == (line, 2, True), told.stderr


def found(*words: str) -> Any:
    """The command of these words."""
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    return command
