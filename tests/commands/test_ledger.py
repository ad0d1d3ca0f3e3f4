"""``workflow-bridge ledger`` on the file of an outbox that is open, as a running bridge has it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from bridge.errors import ConfigError
from bridge.outbox.base import DeadLetter, Verdict
from tests.config.files import Folder
from tests.outbox.subjects import START_MS, Subject, create, message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Subject]:
    """Three delivered calls, and a message that died."""
    subject = Subject("sqlite", tmp_path)
    await subject.outbox.open()
    dead = DeadLetter(message(9, id="id\x1b[31m"), "undecodable", "no JSON", died_ms=START_MS)
    await subject.store(*(create(n, f"order-{n}") for n in range(3)), dead=[dead])
    await subject.settle(Verdict.DELIVERED, *await subject.pending(), reason="created", settled_ms=START_MS + 1_500)
    yield subject
    await subject.outbox.close()


def invoke(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": ""}).invoke(app, ["ledger", *map(str, arguments)], catch_exceptions=False)


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.split("\n") if line]


async def test_a_row_as_json(running: Subject) -> None:
    """All of it, with times for people, too."""
    [found] = lines(invoke("--outbox", running.path, "--message", "shop.orders/0/1", "--json"))
    assert found == {
        "number": 3, "source": "orders", "message_id": "shop.orders/0/1", "rule": "order-created", "config": "",
        "target": "main", "workflow": "fulfil-order", "operation": "create", "event_type": "",
        "instance_id": "order-1", "made": "", "outcome": "delivered", "reason": "created", "code": 0, "attempts": 1,
        "arrived_ms": START_MS, "settled_ms": START_MS + 1_500,
        "arrived_at": "2023-11-14T22:13:20.000Z", "settled_at": "2023-11-14T22:13:21.500Z",
    }  # fmt: skip


async def test_a_table_for_people(running: Subject) -> None:
    """The last first; what a terminal would obey is shown as an escape."""
    result = invoke("--outbox", running.path, "--since", "2023-01-01T00:00:00Z")
    assert result.exit_code == 0
    header, *rows = result.stdout.splitlines()
    assert header.split()[:3] == ["number", "settled", "took"]
    assert [row.split()[0] for row in rows] == ["4", "3", "2", "1"]
    assert "fulfil-order/order-2" in rows[0]
    assert "1.500" in rows[0]
    assert r"id\x1b[31m" in rows[-1]
    assert "dead: undecodable" in rows[-1]


async def test_pages(running: Subject) -> None:
    """What is left is said, and how to go on."""
    first = invoke("--outbox", running.path, "--limit", 2, "--json")
    assert [row["number"] for row in lines(first)] == [4, 3]
    assert first.stderr == "there are more: --before 3\n"
    assert [row["number"] for row in lines(invoke("--outbox", running.path, "--before", 3, "--json"))] == [2, 1]


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (["--instance", "order-2"], [4]),
        (["--rule", ""], [1]),
        (["--rule", "order-created"], [4, 3, 2]),
        (["--outcome", "dead"], [1]),
        (["--until", "2023-11-14T22:13:21Z"], [1]),
    ],
)
async def test_choices(running: Subject, arguments: list[str], numbers: list[int]) -> None:
    """Each alone."""
    assert [row["number"] for row in lines(invoke("--outbox", running.path, "--json", *arguments))] == numbers


@pytest.mark.parametrize("arguments", [["--instance", "none"], ["--since", "1h"], ["--message", "shop.orders/0/"]])
async def test_nothing_of_it(running: Subject, arguments: list[str]) -> None:
    """Exit 1, and why that may be."""
    result = invoke("--outbox", running.path, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "not settled yet, or longer ago than `ledger.keep`" in result.stderr


def test_a_memory_outbox_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 2, on standard output as JSON where that is asked for."""
    Folder(tmp_path, monkeypatch).load({"outbox": {"type": "memory"}, "dead_letters": "discard"})
    result = invoke("--config", "bridge.yaml", "--json")
    assert result.exit_code == 2
    assert "memory, which has no ledger" in json.loads(result.stdout)["error"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--outcome", "lost"], "is delivered, dead, dropped or errored"),
        (["--since", "then"], "--since is a time such as"),
    ],
)
async def test_wrong_choices(running: Subject, arguments: list[str], said: str) -> None:
    """Exit 2, with what would be right."""
    result = invoke("--outbox", running.path, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


async def test_off_is_said(running: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is found because nothing is written."""
    Folder(tmp_path, monkeypatch).load({"ledger.keep": "off", "outbox.path": str(running.path)})
    result = invoke("--config", "bridge.yaml", "--instance", "none")
    assert (result.exit_code, result.stderr) == (1, "the ledger has nothing of it: `ledger.keep` is off\n")


@pytest.mark.parametrize("keep", ["soon", 7])
def test_what_is_no_duration_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: object) -> None:
    """With the forms that are right."""
    with pytest.raises(ConfigError, match=r"ledger.keep: write a duration .* or off"):
        Folder(tmp_path, monkeypatch).load({"ledger.keep": keep})
