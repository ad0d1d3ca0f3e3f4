from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from bridge.admin.server import HealthServer, Readiness
from bridge.admin.settings import HealthSettings
from bridge.commands.check import check
from bridge.commands.healthcheck import healthcheck
from bridge.commands.schema import schema
from bridge.config.markdown import reference
from bridge.config.schema import json_schema
from bridge.metrics import Metrics

if TYPE_CHECKING:
    from typer.testing import Result

    from tests.config.files import Folder

ROOT = Path(__file__).parents[2]


def invoke(command: object, *arguments: str) -> Result:
    application = typer.Typer(pretty_exceptions_enable=False)
    application.command()(command)  # type: ignore[type-var]  # any of the commands
    return CliRunner().invoke(application, arguments, catch_exceptions=False)


def test_check_says_what_a_right_configuration_promises(folder: Folder) -> None:
    """Exit 0, a summary for people."""
    folder.load({})
    result = invoke(check, "--config", "bridge.yaml")
    assert result.exit_code == 0
    assert result.output.splitlines()[:4] == [
        "bridge.yaml is right",
        "  sources  orders (kafka)",
        "  rules    created",
        "  targets  main",
    ]
    assert "must outlive the process" in result.output


def test_check_can_be_read_by_a_program(folder: Folder) -> None:
    """One JSON object, the same facts."""
    folder.load({})
    found = json.loads(invoke(check, "-c", "bridge.yaml", "--json").output)
    assert (found["valid"], found["problems"], found["rules"]) == (True, [], ["created"])
    assert found["sources"] == {"orders": "kafka"}
    folder.write("rules: 1\nx: 2\n")
    result = invoke(check, "-c", "bridge.yaml", "--json")
    wrong = json.loads(result.output)
    assert result.exit_code == 2
    assert wrong["valid"] is False
    assert {(problem["path"], problem["line"]) for problem in wrong["problems"]} == {
        ("sources", 1),
        ("rules", 1),
        ("x", 2),
    }


DOUBTFUL = """\
targets: {main: {account_id: abc, api_token_file: token}}
sources: {orders: {type: kafka, bootstrap_servers: ['k:1'], topics: [t], group_id: g}}
outbox: {path: outbox.db}
vars: {version: 1.10}
include: more.yaml
rules:
- {name: all, drop: everything}
- name: never
  when: body.type == "a" && body.type == "b"
  drop: x
"""


def test_check_warns_of_what_is_right_and_suspicious(folder: Folder) -> None:
    """With file and line, of included files too; exit 0, or 2 with --strict."""
    (folder.path / "more.yaml").write_text("rules:\n- name: last\n  drop: x\n")
    folder.write(DOUBTFUL)
    result = invoke(check, "-c", "bridge.yaml")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "bridge.yaml is right"
    assert [line.split(": ", 3)[:3] for line in lines[-4:-1]] == [
        ["bridge.yaml:4", "warning", "vars.version"],
        ["bridge.yaml:9", "warning", "rules[1].when"],
        ["more.yaml:2", "warning", "rules[2]"],
    ]
    assert lines[-1] == "3 warnings"
    assert invoke(check, "-c", "bridge.yaml", "--strict").exit_code == 2
    found = json.loads(invoke(check, "-c", "bridge.yaml", "--json").output)
    assert (found["valid"], found["problems"]) == (True, [])
    assert [(each["path"], each["file"], each["line"]) for each in found["warnings"]] == [
        ("vars.version", "bridge.yaml", 4),
        ("rules[1].when", "bridge.yaml", 9),
        ("rules[2]", "more.yaml", 2),
    ]


def test_check_warns_of_a_field_that_the_schema_file_does_not_have(folder: Folder) -> None:
    """A mistyped field is named where it stands, with the one that was probably meant; here by a JSON Schema."""
    schema = {"type": "object", "properties": {"type": {"type": "string"}, "id": {}}, "additionalProperties": False}
    (folder.path / "order.json").write_text(json.dumps(schema))
    source = {"sources.orders.schema_file": "order.json", "rules.0.when": "body.typ == 'a'"}
    folder.load(source)
    found = json.loads(invoke(check, "-c", "bridge.yaml", "--json").output)
    assert [(each["path"], each["message"]) for each in found["warnings"]] == [
        ("rules[0].when", "body.typ is not in the schema of its source: no typ; did you mean type?")
    ]


def test_check_warns_of_the_rules_that_are_right_beside_wrong_ones(folder: Folder) -> None:
    """One look is enough; what is wrong is no reason for warnings of its own, and the numbers are those of the file."""
    (folder.path / "more.yaml").write_text("rules:\n- name: last\n  drop: x\n")
    folder.write(DOUBTFUL.replace("{name: all, drop: everything}", "{name: all, drop: everything, when: bod.x}"))
    result = invoke(check, "-c", "bridge.yaml")
    assert result.exit_code == 2
    assert [line.split(": ", 2)[:2] for line in result.output.splitlines() if line.startswith("bridge.yaml")] == [
        ["bridge.yaml:4", "warning"],
        ["bridge.yaml:7", "rules[0].when"],
        ["bridge.yaml:9", "warning"],
    ]
    assert result.output.splitlines()[-1] == "1 problem, 2 warnings"


BAD = {
    "unknown key": ("rules:\n- name: a\n  wehn: x\n  drop: d\n", "bridge.yaml:3: rules[0].wehn: is not known here"),
    "wrong type": ("health: {port: many}\n", "bridge.yaml:1: health.port: should be a whole number"),
    "unknown source": ("rules:\n- name: a\n  from: nowhere\n  drop: d\n", "bridge.yaml:3: rules[0].from: no source"),
    "CEL syntax error": ("rules:\n- name: a\n  when: body.x ==\n  drop: d\n", "bridge.yaml:3: rules[0].when: "),
    "missing token": (
        "targets: {main: {account_id: a, api_token_file: no}}\n",
        "targets.main.api_token_file: no cannot",
    ),
    "no token at all": ("targets: {main: {account_id: a}}\n", "bridge.yaml:1: targets.main: give api_token_file"),
    "not YAML": ("rules: [\n", "bridge.yaml:1: not YAML: the bracket that is opened here is not closed"),
    "no file": ("", "bridge.yaml: cannot be read: No such file or directory"),
}


@pytest.mark.parametrize("mistake", BAD)
def test_a_bad_configuration_is_exit_code_2_without_a_traceback(folder: Folder, mistake: str) -> None:
    """In a process of its own: the problem with its path on standard output, nothing on standard error."""
    text, expected = BAD[mistake]
    if text:
        folder.write(text + "sources: {o: {type: kafka, bootstrap_servers: ['k:1'], topics: [t], group_id: g}}\n")
    command = [sys.executable, "-c", "import typer; from bridge.commands.check import check; typer.run(check)"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--config", "bridge.yaml"], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == ""
    assert expected in done.stdout
    assert "Traceback" not in done.stdout


def test_schema_prints_what_editors_read() -> None:
    """The JSON Schema, complete and by itself."""
    printed = json.loads(invoke(schema).output)
    assert printed == json_schema()
    assert set(printed["properties"]) >= {"include", "targets", "sources", "rules", "vars", "outbox", "health", "log"}


@pytest.mark.parametrize(("file", "arguments"), [("README.md", ["--markdown"]), ("schema.json", [])])
def test_the_committed_reference_is_current(file: str, arguments: list[str]) -> None:
    """``config/README.md`` and ``config/schema.json`` are what the models say today."""
    assert (ROOT / "config" / file).read_text() == invoke(schema, *arguments).output


def test_every_setting_is_in_the_reference_with_a_meaning() -> None:
    """No setting without a description, none left out."""
    page = reference()
    shapes = [json_schema(), *json_schema()["$defs"].values()]
    settings = {
        (shape["title"], name): field for shape in shapes for name, field in shape.get("properties", {}).items()
    }
    assert len(settings) > 80
    assert [key for key, field in settings.items() if not field.get("description") and "const" not in field] == []
    assert [key for key in settings if f"| `{key[1]}` |" not in page] == []


async def test_healthcheck_asks_the_bridge_on_this_machine() -> None:
    """Exit 0 while it is well, 1 while it is not or nobody answers; in a process of its own, as a container does."""
    state = [Readiness(started=True, waiting_for=("the outbox",))]
    server = HealthServer(
        HealthSettings(host="127.0.0.1", port=0), Metrics(CollectorRegistry()), lambda: state[0], lambda: 0.0
    )
    await server.start()
    port = str(server.address[1])

    def ask(*arguments: str) -> Result:
        return invoke(healthcheck, "--port", port, *arguments)

    alive, waiting = await asyncio.to_thread(ask), await asyncio.to_thread(ask, "--ready")
    state[0] = Readiness(started=True)
    ready = await asyncio.to_thread(ask, "--ready")
    await server.stop()
    gone = await asyncio.to_thread(ask)
    assert [(done.exit_code, done.output) for done in (alive, waiting, ready)] == [
        (0, "ok\n"),
        (1, "waiting for the outbox\n"),
        (0, "ok\n"),
    ]
    assert gone.exit_code == 1
    assert gone.output.startswith(f"no answer from 127.0.0.1:{port}")
