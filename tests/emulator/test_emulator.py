"""What the emulator adds to the API: its journal, its summary, its settings. The API itself: tests/cloudflare."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import httpx
import orjson
import pytest
import typer
from pydantic import ValidationError
from typer.testing import CliRunner

from bridge.commands.emulator import emulator as command
from bridge.emulator.account import Creation
from bridge.emulator.application import Application
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EXAMPLE_TOKEN, EmulatorSettings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

NOW_MS = 1_795_000_000_000
LIMIT_SECONDS = 60.0


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
    wanted = Creation("a", b"{}", None)
    statuses = {name: application.account.workflow(name, NOW_MS).create(wanted, NOW_MS) for name in names}
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


async def test_a_port_that_is_taken_is_told_with_a_way_out(
    emulator: Emulator, launch: Callable[..., subprocess.Popen[str]]
) -> None:
    """By the command: which port, and which option names another."""
    port = emulator.base_url.split(":")[2].split("/")[0]
    process = launch("--port", port)
    _, told = await asyncio.to_thread(process.communicate)
    assert (process.returncode, f"127.0.0.1:{port}: " in told, "--port" in told) == (2, True, True)


async def test_the_command_serves_until_sigterm(
    start: Callable[..., tuple[subprocess.Popen[str], dict[str, str]]],
) -> None:
    """It prints what a target needs, answers there with production's limits, and leaves with 0 on SIGTERM."""
    process, values = await asyncio.to_thread(start, "--workflow", "pick=completes")
    url = f"{values['base_url']}/accounts/{values['account_id']}/workflows/pick/instances"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(url, json={}, headers={"authorization": f"Bearer {values['api_token']}"})
    assert answer.status_code == 200
    assert answer.headers["ratelimit-policy"] == '"default";q=1200;w=300'
    assert values["api_token"] == EXAMPLE_TOKEN
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, LIMIT_SECONDS) == 0


async def test_a_file_tells_the_command_everything(
    tmp_path: Path, start: Callable[..., tuple[subprocess.Popen[str], dict[str, str]]]
) -> None:
    """Workflows, limits and faults from a file; what the command line says wins."""
    file = tmp_path / "emulator.yaml"
    file.write_text(
        "account_id: shop\nquota: null\nworkflows: {pick: {behaviour: completes, running_seconds: 60}}\n"
        "faults: [{do: error, operation: get, status: 503, name: busy}]\n"
    )
    _, values = await asyncio.to_thread(
        start, "--config", str(file), "--quota", "7/60s", "--token", "t", "--speed", "5"
    )
    assert (values["account_id"], "api_token" in values) == ("shop", False)
    url = f"{values['base_url']}/accounts/shop/workflows/pick/instances"
    async with httpx.AsyncClient(trust_env=False, headers={"authorization": "Bearer t"}) as client:
        made = await client.post(url, json={"instance_id": "a"})
        got = await client.get(f"{url}/a")
        summary = await client.get(values["base_url"].removesuffix("/client/v4") + "/emulator/summary")
    assert (made.headers["ratelimit-policy"], got.status_code) == ('"default";q=7;w=60', 503)
    assert summary.json()["workflows"]["pick"]["statuses"] == {"running": 1}
    assert summary.json()["faults"] == {"busy": 1}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--host", "0.0.0.0"), "token"),  # noqa: S104  it is refused
        (("--workflow", "pick"), "NAME=BEHAVIOUR"),
        (("--workflow", "pick=dances"), "'dances' is not completes"),
        (("--quota", "many"), "1200/300s"),
        (("--creation", "0/0"), "per_workflow"),
        (("--faults", "/nowhere/faults.yaml"), "/nowhere/faults.yaml"),
        (("--state", "/dev/null/state"), "cannot start"),
    ],
)
def test_the_command_refuses(arguments: tuple[str, ...], text: str) -> None:
    """A mistake on the command line ends with 2 and a text that names it, without a traceback."""
    application = typer.Typer()
    application.command()(command)
    result = CliRunner(env={"NO_COLOR": "1", "TERMINAL_WIDTH": "300"}).invoke(application, ["--port", "0", *arguments])
    assert result.exit_code == 2
    assert text in result.output
    assert isinstance(result.exception, SystemExit)
