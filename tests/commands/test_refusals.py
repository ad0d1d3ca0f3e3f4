"""What commands say where they can do nothing: text for people, and JSON for who asked for it."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from bridge.outbox.base import DeadLetter
from tests.outbox.subjects import Subject, intake_of, message, soon

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


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["explain", "nowhere.json"], "nowhere.json: No such file or directory"),
        (["backtest", "nowhere.jsonl"], "nowhere.jsonl: No such file or directory"),
        (["record", "--source", "orders", "-o", "nowhere/x.jsonl"], "nowhere/x.jsonl: No such file or directory"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_file_that_cannot_be_used_is_named_without_numbers(command: list[str], says: str) -> None:
    """What Python calls it, ``[Errno 2] …: 'x'``, is nobody's language."""
    result = CliRunner().invoke(app, [*command, "--config", "config/kafka.yaml"])
    assert (result.exit_code, result.stderr.strip()) == (2, says)


def test_tests_of_another_name_are_not_no_tests() -> None:
    """Who misspells a name is not told to write tests."""
    result = CliRunner().invoke(app, ["test", "--config", "config/kafka.yaml", "-k", "zzz"])
    assert (result.exit_code, "none of " in result.stdout, "write some" in result.stdout) == (1, True, False)


def test_a_demo_without_its_broker_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the name of the extra, whose brackets are no markup."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    result = CliRunner().invoke(app, ["demo", "--messages", "1"])
    assert (result.exit_code, "pip install 'workflow-bridge[demo]'" in result.stderr) == (2, True)


def test_an_edit_without_a_terminal_starts_no_editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a script or a container's exec without -t it would draw into a pipe, and wait."""
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    outbox = asyncio.run(_with_one_letter(tmp_path))
    result = CliRunner().invoke(app, ["dead-letters", "edit", "1", "--outbox", str(outbox)])
    assert (result.exit_code, "--from FILE" in result.stderr) == (2, True)


async def _with_one_letter(folder: Path) -> Path:
    subject = Subject("sqlite", folder)
    await subject.outbox.open()
    await soon((await subject.outbox.add(intake_of(dead=[DeadLetter(message(1), "rejected", "no", "r")]))).wait())
    await subject.outbox.close()
    return subject.path
