"""``workflow-bridge instances`` against the emulator: the six endpoints, what is refused, and the exit codes."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from bridge.emulator.fixture import RunningEmulator
from bridge.emulator.settings import EmulatorSettings
from tests.config.files import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture
def emulator() -> Iterator[RunningEmulator]:
    with RunningEmulator(EmulatorSettings(workflows={"fulfil": "waits: paid"})) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: RunningEmulator) -> Folder:
    """A configuration with the emulator as its only target."""
    made = Folder(tmp_path, monkeypatch)
    (tmp_path / "token").write_text(emulator.token)
    made.load({"targets.main.account_id": emulator.account_id, "targets.main.base_url": emulator.base_url})
    return made


def run(*arguments: object, given: str | None = None, expected: int = 0) -> Result:
    command = ["instances", *map(str, arguments), "--config", "bridge.yaml"]
    result = CliRunner(env={"COLUMNS": ""}).invoke(app, command, input=given, catch_exceptions=False)
    assert result.exit_code == expected, result.output
    return result


def told(*arguments: object, **more: Any) -> Any:
    return json.loads(run(*arguments, "--json", **more).stdout)


@pytest.mark.usefixtures("folder")
def test_an_instance_from_its_creation_to_its_end(emulator: RunningEmulator) -> None:
    """Created with its params to the byte, looked at, signalled, terminated."""
    assert run("create", "fulfil", "--id", "o-1", "--params", '{"n": 1}').stdout == "o-1: queued\n"
    assert told("get", "fulfil", "o-1")["params"] == {"n": 1}
    assert "params:" in run("get", "fulfil", "o-1", "--steps").stdout
    assert run("event", "fulfil", "o-1", "paid", "--payload", "-", given="[1.50]").stdout == "o-1: paid is sent\n"
    [event] = [record for record in emulator.records if record.operation == "event"]
    assert event.payload == [1.5]
    run("create", "fulfil", "--id", "o-2")
    assert told("status", "fulfil", "o-2", "terminate")["id"] == "o-2"
    assert told("get", "fulfil", "o-2")["status"] == "terminated"


@pytest.mark.usefixtures("folder")
def test_many_are_created_and_listed_page_by_page() -> None:
    """A hundred a request; a used id is told; the list goes on at its cursor."""
    lines = "\n".join(f'{{"instance_id":"o-{n}","params":{{"n":{n}}}}}' for n in range(250))
    assert run("batch", "fulfil", "-", given=lines).stdout == "250 created\n"
    again = told("batch", "fulfil", "-", given='{"instance_id":"o-1"}\n{"instance_id":"new"}', expected=1)
    assert again == {"created": ["new"], "left_out": ["o-1"]}
    first = told("list", "fulfil", "--limit", 150)
    rest = told("list", "fulfil", "--limit", 1000, "--cursor", first["cursor"])
    names = [row["id"] for row in (*first["instances"], *rest["instances"])]
    assert (len(first["instances"]), len(set(names)), rest["cursor"]) == (150, 251, None)
    result = run("list", "fulfil", "--limit", 2)
    assert result.stdout.split()[:5] == ["id", "status", "created", "started", "ended"]
    assert "there are more: --cursor " in result.stderr
    assert "no instances" in run("list", "fulfil", "--status", "errored").stderr


@pytest.mark.usefixtures("folder")
def test_what_the_api_refuses_is_exit_code_1() -> None:
    """With its words, and what to do."""
    run("create", "fulfil", "--id", "o-1")
    assert "take another id" in run("create", "fulfil", "--id", "o-1", expected=1).stderr
    assert "check the id" in run("get", "fulfil", "none", expected=1).stderr
    assert told("get", "gone", "x", expected=1)["meaning"] == "workflow_missing"


@pytest.mark.usefixtures("folder")
def test_what_is_wrong_at_once_is_not_sent(emulator: RunningEmulator) -> None:
    """Exit 2."""
    for arguments, says in {
        ("get", "fulfil", "o 1"): "the instance id must be",
        ("get", "", "o-1"): "the workflow is empty",
        ("event", "fulfil", "o-1", "a b"): "the event type must be",
        ("create", "fulfil", "--params", "{"): "this is not JSON",
        ("create", "fulfil", "--params", "@none.json"): "none.json cannot be read",
        ("batch", "fulfil", "none.json"): "none.json cannot be read",
        ("status", "fulfil", "o-1", "pause", "--rollback"): "goes with terminate",
        ("get", "fulfil", "o-1", "--target", "second"): "there is no target 'second'; there are main",
        ("list", "fulfil", "--since", "yesterday"): "--since is a time such as",
        ("list", "fulfil", "--status", "runing"): "is running meant?",
    }.items():
        assert says in run(*arguments, expected=2).stderr
    assert (
        "line 2" in run("batch", "fulfil", "-", given='{"instance_id":"a"}\n{"instance_id":"a b"}', expected=2).stderr
    )
    misspelt = '{"instance_id":"a"}\n{"instanceId":"b"}'  # would be an instance of an id that nobody knows
    assert "line 2: 'instanceId' is not known" in run("batch", "fulfil", "-", given=misspelt, expected=2).stderr
    assert emulator.records == []


@pytest.mark.usefixtures("folder")
def test_a_list_is_of_a_time(emulator: RunningEmulator) -> None:
    """As everywhere: a time, or how long ago; the API is asked in its own form."""
    run("create", "fulfil", "--id", "o-1")
    emulator.advance(7_200)
    run("create", "fulfil", "--id", "o-2")
    now = datetime.fromisoformat(told("get", "fulfil", "o-2")["queued"])
    hour = f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    assert [row["id"] for row in told("list", "fulfil", "--since", hour)["instances"]] == ["o-2"]
    assert [row["id"] for row in told("list", "fulfil", "--until", hour)["instances"]] == ["o-1"]
    assert len(told("list", "fulfil", "--since", "2h")["instances"]) == 2


def test_without_an_answer_nobody_knows(folder: Folder, emulator: RunningEmulator) -> None:
    """Exit 4, and the advice to look before trying again."""
    folder.load({"targets.main.account_id": emulator.account_id, "targets.main.base_url": "http://127.0.0.1:9"})
    assert "look at the instance before you try again" in run("create", "fulfil", "--id", "o-1", expected=4).stderr


def test_of_several_targets_one_is_named(folder: Folder, emulator: RunningEmulator) -> None:
    """Nobody guesses whose instance is terminated."""
    here = {"account_id": emulator.account_id, "base_url": emulator.base_url, "api_token_file": "token"}
    create = {"workflow": "fulfil", "id": "x", "target": "a"}
    folder.load({"targets": {"a": here, "b": here}, "rules.0.create": create})
    assert "--target a or b" in run("list", "fulfil", expected=2).stderr
    run("list", "fulfil", "--target", "b")
