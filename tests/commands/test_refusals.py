"""What commands say where they can do nothing: text for people, and JSON for who asked for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from bridge.cli import app

if TYPE_CHECKING:
    from pathlib import Path

WRONG = "sources:\n  orders: {type: kafka, topics: [t]}\nrules: []\n"
COMMANDS = [["test"], ["explain", "-"], ["backtest", "-"], ["dead-letters", "list"], ["dead-letters", "show", "1"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_configuration_is_told_in_json(command: list[str], tmp_path: Path) -> None:
    """One object on standard output, with every problem and its place; exit 2, as without --json."""
    file = tmp_path / "bridge.yaml"
    file.write_text(WRONG)
    result = CliRunner().invoke(app, [*command, "--config", str(file), "--json"], input="{}")
    told = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (2, "")
    assert {problem["path"] for problem in told["problems"]} >= {"sources.orders.group_id", "rules"}
    assert {(problem["file"], problem["line"]) for problem in told["problems"]} == {(str(file), 2), (str(file), 3)}
    assert all(problem["message"] in told["error"] for problem in told["problems"])
    plain = CliRunner().invoke(app, [*command, "--config", str(file)], input="{}")
    assert (plain.exit_code, plain.stdout) == (2, "")
    assert plain.stderr.strip() == told["error"]


@pytest.mark.parametrize(
    "command",
    [
        ["explain"],
        ["explain", "nowhere.json"],
        ["backtest", "nowhere.jsonl"],
        ["dead-letters", "list", "--outbox", "nowhere.db"],
        ["eval", "1 +"],
    ],
    ids=" ".join,
)
def test_whatever_else_is_wrong_is_told_in_the_same_shape(command: list[str]) -> None:
    """Without problems, as no configuration is at fault."""
    options = [] if command[0] in {"eval", "dead-letters"} else ["--config", "config/kafka.yaml"]
    result = CliRunner().invoke(app, [*command, *options, "--json"])
    assert (result.exit_code, result.stderr, list(json.loads(result.stdout))) == (2, "", ["error"])
