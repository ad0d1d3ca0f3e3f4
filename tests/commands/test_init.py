"""``workflow-bridge init``: the file that it writes is right, and is not written over another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from bridge.config import examine
from bridge.config.schema import json_schema
from bridge.config.starter import SCHEMA, secrets

VARIANTS = [(broker, outbox) for broker in ("kafka", "rabbitmq") for outbox in ("sqlite", "memory")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return result.exit_code, result.output


@pytest.mark.parametrize(("broker", "outbox"), VARIANTS)
def test_the_file_is_right_once_the_secrets_are_there(broker: str, outbox: str) -> None:
    """No problem and no warning, and its rule tests pass; without them check names the files that init has named."""
    code, output = run("init", broker, "--outbox", outbox)
    assert code == 0
    assert {problem.message for problem in examine("bridge.yaml", {}).problems} == {
        f"{file} cannot be read: No such file or directory" for file in secrets(broker)
    }
    assert run("test", "--config", "bridge.yaml")[0] == 0
    Path("secrets").mkdir()
    for file in secrets(broker):
        assert f"into {file}\n" in output
        Path(file).write_text("amqp://user:password@localhost/")
    found = examine("bridge.yaml", {})
    assert (found.problems, found.warnings) == ([], [])
    assert found.config is not None
    assert found.config.outbox.type == outbox
    assert {rule.name for rule in found.config.rules} == {"order-created", "payment-received"}


def test_the_schema_that_editors_look_for_is_beside_it() -> None:
    """By the name that the first line of the file has."""
    Path("there").mkdir()
    run("init", "kafka", "--output", "there/mine.yaml")
    first = Path("there/mine.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema=./{SCHEMA}"
    assert json.loads(Path("there", SCHEMA).read_text()) == json_schema()


def test_a_file_that_is_there_is_left_alone() -> None:
    """Unless it is forced."""
    Path("bridge.yaml").write_text("mine\n")
    code, output = run("init", "kafka")
    assert (code, Path("bridge.yaml").read_text()) == (2, "mine\n")
    assert "bridge.yaml is there already" in output
    assert not Path(SCHEMA).exists()
    assert run("init", "kafka", "--force")[0] == 0
    assert Path("bridge.yaml").read_text() != "mine\n"


def test_a_place_that_cannot_be_written_is_named() -> None:
    """Without a traceback."""
    code, output = run("init", "kafka", "--output", "nowhere/bridge.yaml")
    assert (code, output) == (2, "nowhere/bridge.yaml cannot be written: No such file or directory\n")


def test_it_can_be_written_to_the_output() -> None:
    """And then nothing else is."""
    code, output = run("init", "rabbitmq", "--output", "-")
    assert code == 0
    run("init", "rabbitmq")
    assert output == Path("bridge.yaml").read_text()
