"""One scenario: its processes, from the first to the last, and what the emulator's journal says of them."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import httpx
import orjson

from bench.quota.conductor import Conductor
from bench.quota.figures import Figures, figures
from bench.quota.load import SIGNALLED, Mix, fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

TOKEN, SETUP_TOKEN, ACCOUNT = "emulator-token", "setup-token", "quota"
START_SECONDS = 60


class Scenario(NamedTuple):
    """``aims``: between what and what a figure has to be."""

    name: str
    mixes: Sequence[tuple[int, float]]  # creates and events per second that wait for each bridge
    foreign: bool
    aims: Mapping[str, tuple[float, float]]


class Options(NamedTuple):
    """How it is played."""

    minutes: float
    speed: float
    seed: int


NONE, FULL = (0, 0), (99, 100)
SCENARIOS = (
    Scenario(
        "alone",
        [(330, 0.66)],
        foreign=False,
        aims={
            "http_429": NONE,
            "budget_used_share": (0.97, 1.0),
            "instances_per_create_request": FULL,
            "creations_per_second": (295, 300),
        },
    ),
    Scenario(
        "foreign",
        [(99, 1.6)],
        foreign=True,
        aims={"blocks": NONE, "budget_used_share": (0.90, 1.1), "instances_per_create_request": FULL},
    ),
    Scenario("five", [(30, 0.75)] * 5, foreign=False, aims={"blocks": NONE}),
)


def missed(scenario: Scenario, found: Figures) -> list[str]:
    """The aims that it did not meet, in words."""
    return [
        f"{scenario.name}: {name} is {value}, not from {least} to {most}"
        for name, (least, most) in scenario.aims.items()
        if not least <= (value := found._asdict()[name]) <= most
    ]


def play(scenario: Scenario, options: Options) -> Figures:
    """Run it. Raises RuntimeError, OSError when something does not start or does not last."""
    with TemporaryDirectory(prefix="quota-") as folder:
        asyncio.run(_play(scenario, Path(folder), options))
        return figures(scenario.name, Path(folder) / "journal", options.minutes)


async def _play(scenario: Scenario, place: Path, options: Options) -> None:
    for number, (creates, events) in enumerate(scenario.mixes):
        mix = Mix(f"b{number}", creates, events, int(60 * options.minutes) + 30)
        await fill(place / f"b{number}.db", mix)
    async with AsyncExitStack() as stack:
        conductor = stack.enter_context(Conductor(place, options.speed, time.time()))
        base_url = await stack.enter_async_context(_emulator(place))
        await _make_signalled(base_url)
        members = [("bridge", str(_config(place, f"b{number}", base_url))) for number in range(len(scenario.mixes))]
        if scenario.foreign:
            url = f"{base_url}/accounts/{ACCOUNT}/workflows/signals/instances?per_page=1"
            members.append(("stranger", url, TOKEN, str(options.seed)))
        for number, member in enumerate(members, 1):
            await stack.enter_async_context(_member(place, number, *member))
        await asyncio.to_thread(conductor.play, 1 + len(members), 60 * options.minutes + 5)


@asynccontextmanager
async def _member(place: Path, number: int, module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process in the common time, ended by SIGTERM. Raises RuntimeError if it ended itself, with what it said."""
    log = place / f"{number}.log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", f"bench.quota.{module}", str(place), str(number), *arguments]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=file)
    try:
        yield process
    except (RuntimeError, OSError) as error:
        raise RuntimeError(f"{error}; {module} {number}: {log.read_text()[-1000:]}") from error
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
        if process.returncode is None:
            process.kill()


@asynccontextmanager
async def _emulator(place: Path) -> AsyncIterator[str]:
    config = place / "emulator.json"
    settings = {
        "account_id": ACCOUNT,
        "token": TOKEN,
        "more_tokens": {"setup": SETUP_TOKEN},
        "workflows": {"signals": "waits: go", "*": "completes"},
        "quota": {},
        "creation": {},
        "ended_event": None,
        "journal_records": 1_000,
        "journal_file": str(place / "journal"),
    }
    config.write_bytes(orjson.dumps(settings))
    async with _member(place, 0, "emulator", str(config)) as process:
        assert process.stdout is not None  # noqa: S101  it was asked for above
        line = (await asyncio.wait_for(process.stdout.readline(), START_SECONDS)).decode()
        if not line.startswith("http"):
            raise RuntimeError("the emulator did not start")
        yield line.strip()


def _config(place: Path, name: str, base_url: str) -> Path:
    """Its source is a broker that is not there: everything it sends waits in its outbox already."""
    (place / "token").write_text(TOKEN)
    (place / "url").write_text(f"amqp://127.0.0.1:{_free_port()}/")
    target = {"account_id": ACCOUNT, "api_token_file": str(place / "token"), "base_url": base_url}
    rule = {"name": "quota", "create": {"workflow": "none", "id": "${body.id}", "params": "${body}"}}
    config = {
        "targets": {"main": target},
        "sources": {"orders": {"type": "rabbitmq", "url_file": str(place / "url"), "queues": ["none"]}},
        "outbox": {"type": "sqlite", "path": str(place / f"{name}.db")},
        "health": {"port": _free_port()},
        "log": {"level": "warning"},
        "shutdown": {"grace_seconds": 1},
        "rules": [rule],
    }
    path = place / f"{name}.json"
    path.write_bytes(orjson.dumps(config))
    return path


async def _make_signalled(base_url: str) -> None:
    """The instances that events go to, on a token of their own."""
    url = f"{base_url}/accounts/{ACCOUNT}/workflows/signals/instances/batch"
    headers = {"authorization": f"Bearer {SETUP_TOKEN}"}
    async with httpx.AsyncClient() as client:
        answer = await client.post(url, headers=headers, json=[{"instance_id": f"s-{n}"} for n in range(SIGNALLED)])
        answer.raise_for_status()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
