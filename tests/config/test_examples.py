from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.config import examine

FILES = sorted((Path(__file__).parents[2] / "config").glob("*.yaml"))
EXAMPLES = [file for file in FILES if not file.name.endswith(".test.yaml")]


# What is on the machine where it runs, and not in the file.
ELSEWHERE = {"demo.yaml": {"WORKFLOW_BRIDGE_TARGETS__DEMO__API_TOKEN": "token"}}
FOLDERS = {"/run/secrets": "secrets", "/var/lib/workflow-bridge": "state"}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_loads(file: Path, tmp_path: Path) -> None:
    """Whole, rules compiled, without a warning; only the secrets and folders of another machine are given from here."""
    text = file.read_text()
    for there, here in FOLDERS.items():
        text = text.replace(there, str(tmp_path / here))
    for secret in re.findall(rf"{tmp_path}/secrets/[\w./-]+", text):
        Path(secret).parent.mkdir(parents=True, exist_ok=True)
        Path(secret).write_text("amqp://user:password@localhost/")
    (tmp_path / file.name).write_text(text)
    found = examine(tmp_path / file.name, ELSEWHERE.get(file.name, {}))
    assert (found.problems, found.warnings) == ([], [])
    assert found.config is not None
    assert found.config.rules
    assert found.config.sources


def test_examples_ask_editors_for_the_schema() -> None:
    """The first line of each names the schema beside it."""
    assert EXAMPLES
    first_lines = {file.name: file.read_text().splitlines()[0] for file in EXAMPLES}
    assert set(first_lines.values()) == {"# yaml-language-server: $schema=./schema.json"}
