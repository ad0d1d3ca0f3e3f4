"""What the emulator adds to the API: its journal, its summary, its settings. The API itself: tests/cloudflare."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import orjson
import pytest
from pydantic import ValidationError

from bridge.emulator.application import Application
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EXAMPLE_TOKEN, EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW_MS = 1_795_000_000_000
LIMIT_SECONDS = 20.0


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    workflows = {"fulfil-order": "waits: paid", "pick": "completes"}
    settings = EmulatorSettings(workflows=workflows, journal_file=tmp_path / "journal.jsonl")
    async with Emulator(settings, clock=lambda: NOW_MS) as emulator:
        yield emulator


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    base = f"{emulator.base_url}/accounts/{emulator.account_id}/workflows/"
    headers = {"authorization": f"Bearer {emulator.token}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, trust_env=False) as client:
        yield client


async def test_every_request_is_in_the_journal(emulator: Emulator, http: httpx.AsyncClient, tmp_path: Path) -> None:
    """Ids offered and created, events with payload, refusals: all in order, in memory and in the file."""
    await http.post("pick/instances/batch", json=[{"instance_id": "a"}, {"instance_id": "b"}, {"instance_id": "a"}])
    await http.post("pick/instances", json={"instance_id": "a"})
    await http.post("fulfil-order/instances", json={})
    await http.post("fulfil-order/instances/x/events/paid", json={"amount": 5})
    await http.patch("pick/instances/b/status", json={"status": "terminate"})
    await http.get("pick/instances", headers={"authorization": "Bearer wrong"})
    facts = [(r.number, r.operation, r.workflow, r.offered, r.status, r.code) for r in emulator.journal.records]
    assert facts == [
        (1, "batch", "pick", ["a", "b", "a"], 200, 0),
        (2, "create", "pick", ["a"], 400, 10405),
        (3, "create", "fulfil-order", [None], 200, 0),
        (4, "event", "fulfil-order", ["x"], 404, 10400),
        (5, "status", "pick", ["b"], 409, 10401),
        (6, "", "", [], 403, 10000),
    ]
    first, _, _, event, change, _ = emulator.journal.records
    assert (first.created, event.event_type, event.payload, change.change) == (
        ["a", "b"],
        "paid",
        {"amount": 5},
        "terminate",
    )
    lines = [orjson.loads(line) for line in (tmp_path / "journal.jsonl").read_bytes().splitlines()]
    assert [(line["number"], line["code"]) for line in lines] == [(fact[0], fact[5]) for fact in facts]
    assert {line["time_ms"] for line in lines} == {NOW_MS}


async def test_the_journal_over_http(emulator: Emulator, http: httpx.AsyncClient) -> None:
    """It is read in pages, which are not in it themselves; without the token there is nothing to read."""
    for name in ("a", "b", "c"):
        await http.post("pick/instances", json={"instance_id": name})
    url = emulator.base_url.removesuffix("/client/v4") + "/emulator/journal"
    first = (await http.get(url, params={"limit": 2})).json()
    second = (await http.get(url, params={"limit": 2, "after": first["after"]})).json()
    last = (await http.get(url, params={"after": second["after"]})).json()
    pages = [[record["created"] for record in page["records"]] for page in (first, second, last)]
    assert pages == [[["a"], ["b"]], [["c"]], []]
    assert (await http.get(url, headers={"authorization": "Bearer wrong"})).status_code == 403


async def test_the_summary(emulator: Emulator, http: httpx.AsyncClient) -> None:
    """It counts what was asked, what was new, and what there is now."""
    await http.post("fulfil-order/instances/batch", json=[{"instance_id": "a"}, {"instance_id": "b"}])
    await http.post("fulfil-order/instances/batch", json=[{"instance_id": "b"}])
    await http.post("fulfil-order/instances/a/events/paid", json={})
    url = emulator.base_url.removesuffix("/client/v4") + "/emulator/summary"
    summary = (await http.get(url)).json()
    assert summary["requests"] == {"batch": 2, "event": 1}
    assert summary["answers"] == {"200/0": 3}
    assert summary["workflows"]["fulfil-order"] == {
        "created": 2,
        "offered": 3,
        "events": 1,
        "changes": 0,
        "instances": 2,
        "statuses": {"complete": 1, "waiting": 1},
    }


async def test_any_workflow() -> None:
    """With "*" every name is a workflow, and a listed one keeps its own behaviour."""
    settings = EmulatorSettings(workflows={"*": "completes", "bad": "fails"})
    application = Application(settings, clock=lambda: NOW_MS)
    names = ("bad", "other")
    statuses = {name: application.account.workflow(name).create("a", {}, NOW_MS) for name in names}
    assert {name: instance and instance.status for name, instance in statuses.items()} == {
        "bad": "errored",
        "other": "complete",
    }


async def test_requests_at_once_are_one_after_the_other(emulator: Emulator, http: httpx.AsyncClient) -> None:
    """Of many creates of one id at once, one wins."""
    answers = await asyncio.gather(*(http.post("pick/instances", json={"instance_id": "a"}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    assert sum(len(record.created) for record in emulator.journal.records) == 1


@pytest.mark.parametrize("workflows", [{"w": "sleeps"}, {"w": "waits: a b"}, {"a b": "fails"}, {"": "fails"}])
def test_refused_settings(workflows: dict[str, str]) -> None:
    """Behaviours and names that the API could not have are refused."""
    with pytest.raises(ValidationError):
        EmulatorSettings(workflows=workflows)


async def test_a_port_that_is_taken(emulator: Emulator) -> None:
    """A second emulator on the same port says so at once."""
    port = int(emulator.base_url.split(":")[2].split("/")[0])
    with pytest.raises(OSError, match="in use"):
        await Emulator(EmulatorSettings(port=port)).__aenter__()


COMMAND = "import typer; from bridge.commands.emulator import emulator; typer.run(emulator)"


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMAND, "--port", "0", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


async def test_the_command_serves_until_sigterm() -> None:
    """It prints what a target needs, answers there, and leaves with 0 on SIGTERM."""
    process = start("--workflow", "pick=completes")
    try:
        assert process.stdout is not None
        lines = [await asyncio.to_thread(process.stdout.readline) for _ in range(3)]
        values = {name: value for name, _, value in (line.strip().partition(": ") for line in lines)}
        url = f"{values['base_url']}/accounts/{values['account_id']}/workflows/pick/instances"
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(url, json={}, headers={"authorization": f"Bearer {values['api_token']}"})
        assert answer.status_code == 200
        assert values["api_token"] == EXAMPLE_TOKEN
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, LIMIT_SECONDS) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--host", "0.0.0.0"), "token"),  # noqa: S104  it is refused
        (("--workflow", "pick"), "NAME=BEHAVIOUR"),
        (("--workflow", "pick=dances"), "pattern"),
    ],
)
def test_the_command_refuses(arguments: tuple[str, ...], text: str) -> None:
    """A mistake on the command line ends with 2 and a text that names it, without a traceback."""
    process = start(*arguments)
    _, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 2
    assert text in errors
    assert "Traceback" not in errors
