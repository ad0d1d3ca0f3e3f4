"""What a user sees who has made a mistake: processes of their own, no service needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.bridge_process import BridgeProcess
from tests.services.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.slow  # a process for each of them

ROOT = Path(__file__).parents[2]
TOKEN = "WORKFLOW_BRIDGE_TARGETS__MAIN__API_TOKEN"  # noqa: S105  the name of a variable
COMMANDS = ("check", "run")
LIMIT_SECONDS = 60
RIGHT = """\
targets:
  main:
    account_id: abc
    api_token_file: token
sources:
  orders:
    type: kafka
    bootstrap_servers: ["127.0.0.1:9"]
    topics: [orders]
    group_id: bridge
rules:
  - name: created
    from: orders
    when: body.total > 0
    create:
      workflow: fulfil
      id: "order-${body.id}"
"""
# mistake -> what is written instead, and what is said of it: place, path, and a part of the explanation
MISTAKES: Mapping[str, tuple[str, str, str]] = {
    "unknown key": (
        "    group_id: bridge",
        "    group_id: bridge\n    gruop: x",
        ":11: sources.orders.gruop: is not known",
    ),
    "wrong type": ("    topics: [orders]", "    topics: 7", ":9: sources.orders.topics: should be a "),
    "unknown source": ("    from: orders", "    from: nowhere", ":13: rules[0].from: no source"),
    "CEL syntax error": ("    when: body.total > 0", "    when: body.total >", ":14: rules[0].when: "),
    "missing token": (
        "    api_token_file: token",
        "    api_token_file: gone",
        ":4: targets.main.api_token_file: gone ",
    ),
    "no token": ("    api_token_file: token\n", "", ":2: targets.main: give api_token_file"),
}
ALL_AT_ONCE = """\
targets:
  main:
    account_id: abc
    api_token_file: gone
sources:
  orders:
    type: kafka
    bootstrap_servers: ["127.0.0.1:9"]
    topics: 7
    group_id: bridge
    gruop: x
  payments:
    type: kafka
    bootstrap_servers: ["127.0.0.1:9"]
    topics: [payments]
    group_id: bridge
rules:
  - name: created
    from: nowhere
    when: body.total >
    create:
      workflow: fulfil
      id: "order-${body.id}"
  - name: paid
    evnet: {}
"""


def bridge(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m bridge COMMAND --config bridge.yaml`` in ``folder``, where nothing of this process's settings is."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("WORKFLOW_BRIDGE_")}
    return subprocess.run(
        [sys.executable, "-m", "bridge", command, "--config", "bridge.yaml"],
        cwd=folder,
        env={**known, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The whole output of a run that must have ended with 2 and without a traceback."""
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    assert "Traceback" not in output
    return output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("planted-token\n")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place(folder: Path, mistake: str, command: str) -> None:
    """Exit code 2; one line with file, line, path and what is wrong; no traceback, and no outbox is made."""
    right, wrong, expected = MISTAKES[mistake]
    assert right in RIGHT
    (folder / "bridge.yaml").write_text(RIGHT.replace(right, wrong))
    output = said(bridge(command, folder))
    problems = [line for line in output.splitlines() if line.startswith("bridge.yaml")]
    assert len(problems) == 1, output
    assert problems[0].startswith(f"bridge.yaml{expected}")
    assert "planted-token" not in output
    assert not list(folder.glob("*.db"))


def test_without_the_mistakes_it_is_right(folder: Path) -> None:
    """What the mistakes are made in is a right configuration."""
    (folder / "bridge.yaml").write_text(RIGHT)
    done = bridge("check", folder)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_all_mistakes_are_listed_at_once(folder: Path, command: str) -> None:
    """Nobody has to repair one to be told of the next."""
    (folder / "bridge.yaml").write_text(ALL_AT_ONCE)
    output = said(bridge(command, folder))
    problems = [line for line in output.splitlines() if line.startswith("bridge.yaml")]
    places = [problem.split(": ")[0:2] for problem in problems]
    assert places == [
        ["bridge.yaml:4", "targets.main.api_token_file"],
        ["bridge.yaml:9", "sources.orders.topics"],
        ["bridge.yaml:11", "sources.orders.gruop"],
        ["bridge.yaml:19", "rules[0].from"],
        ["bridge.yaml:20", "rules[0].when"],
        ["bridge.yaml:25", "rules[1].evnet"],
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistake_in_the_environment_is_named_by_its_variable(folder: Path, command: str) -> None:
    """It stands in no line of a file."""
    (folder / "bridge.yaml").write_text(RIGHT)
    output = said(bridge(command, folder, WORKFLOW_BRIDGE_HEALTH__PORT="many"))
    assert "health.port" in output
    assert "WORKFLOW_BRIDGE_HEALTH__PORT" in output


@pytest.mark.parametrize("command", COMMANDS)
def test_a_secret_that_is_wrong_is_not_repeated(folder: Path, command: str) -> None:
    """A token of the wrong form, given by the environment, and one in the file."""
    (folder / "bridge.yaml").write_text(RIGHT.replace("api_token_file: token", "api_token: planted-token"))
    assert "planted" not in said(bridge(command, folder))
    (folder / "bridge.yaml").write_text(RIGHT.replace("    api_token_file: token\n", ""))
    output = said(bridge(command, folder, **{TOKEN: "planted token"}))
    assert "targets.main.api_token" in output
    assert "planted" not in output


@pytest.mark.parametrize(
    ("text", "expected"),
    [("rules: [\n", "not YAML"), ("", "sources"), ("- 1\n", "bridge.yaml"), (None, "cannot be read")],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_none(folder: Path, command: str, text: str | None, expected: str) -> None:
    """Not YAML, empty, a list, not there: still exit code 2 and a sentence."""
    if text is not None:
        (folder / "bridge.yaml").write_text(text)
    assert expected in said(bridge(command, folder))


def test_a_second_process_on_the_same_outbox(tmp_path: Path) -> None:
    """It leaves with 3 and says why, and the first goes on."""
    (closed,) = free_ports(1)
    (tmp_path / "token").write_text("t")
    config = {
        "targets": {"main": {"account_id": "abc", "api_token_file": str(tmp_path / "token")}},
        "sources": {
            "orders": {
                "type": "kafka",
                "bootstrap_servers": [f"127.0.0.1:{closed}"],
                "topics": ["orders"],
                "group_id": "bridge",
            }
        },
        "rules": [{"name": "all", "create": {"workflow": "fulfil"}}],
        "outbox": {"path": str(tmp_path / "shared.db")},
    }
    with BridgeProcess(tmp_path / "first", config) as first:
        second = BridgeProcess(tmp_path / "second", config)
        (tmp_path / "second" / "bridge.yaml").write_text(second.config_file.read_text())  # JSON is YAML
        done = bridge("run", tmp_path / "second")
        output = done.stdout + done.stderr
        assert done.returncode == 3, output
        assert "Traceback" not in output
        (line,) = [line for line in output.splitlines() if not line.startswith("{")]
        assert line.startswith(
            f"workflow-bridge: another process works on the outbox {tmp_path / 'shared.db'}; stop it"
        )
        events = [json.loads(each) for each in done.stderr.splitlines() if each.startswith("{")]
        assert [event for event in events if event["level"] == "error"] == []
        assert first.answers("/livez")
        assert first.stop() == 0
