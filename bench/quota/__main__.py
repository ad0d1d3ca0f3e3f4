"""Plays three scenarios against the emulator's quota, in time that goes faster, and prints what its journal says.

    alone        one bridge with creates of three workflows and events, more than it may send
    foreign      the same beside somebody else, who takes a third of the quota in bursts of up to 40 requests
    five         five bridges on one token that share nothing, started together

Exit codes: 0 every aim is met, 1 one is missed, 2 something did not run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import orjson

from bench.quota.figures import Figures, figures
from bench.quota.load import SIGNALLED, Mix, fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

TOKEN, SETUP_TOKEN, ACCOUNT = "emulator-token", "setup-token", "quota"
FOREIGN_SHARE, LARGEST_BURST = 1 / 3, 40


class Scenario(NamedTuple):
    """One of them. ``aims``: between what and what a figure has to be."""

    name: str
    mixes: Sequence[tuple[int, float]]  # creates and events per second that wait for each bridge
    foreign: bool
    aims: Mapping[str, tuple[float, float]]


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


def main() -> None:
    """Parse, run, print; one JSON line per scenario, and one of all at the end."""
    parser = argparse.ArgumentParser(prog="make quota ARGS=…", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0, help="of emulated time (default: %(default)s)")
    parser.add_argument("--speed", type=float, default=8.0, help="emulated seconds in one (default: %(default)s)")
    parser.add_argument("--scenario", action="append", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--seed", type=int, default=1, help="of the foreign client")
    options = parser.parse_args()
    chosen = [scenario for scenario in SCENARIOS if not options.scenario or scenario.name in options.scenario]
    try:
        found = asyncio.run(_play_all(chosen, options))
    except (RuntimeError, OSError) as error:
        print(f"make quota: {error}", file=sys.stderr)
        sys.exit(2)
    missed = [
        f"{scenario.name}: {name} is {value}, not from {least} to {most}"
        for scenario, one in zip(chosen, found, strict=True)
        for name, (least, most) in scenario.aims.items()
        if not least <= (value := one._asdict()[name]) <= most
    ]
    for one in found:
        print(json.dumps(one._asdict()))
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    print(json.dumps(_together(found) | {"missed": missed}))
    sys.exit(1 if missed else 0)


def _together(found: Sequence[Figures]) -> dict[str, Any]:
    """The worst of each figure; of what only a bridge alone can reach, its own."""
    return {
        "minutes": found[0].minutes,
        "http_429": sum(one.http_429 for one in found),
        "blocks": sum(one.blocks for one in found),
        "budget_used_share": min(one.budget_used_share for one in found),
        "instances_per_create_request": min(one.instances_per_create_request for one in found),
        "creations_per_second": found[0].creations_per_second,
    }


async def _play_all(scenarios: Sequence[Scenario], options: argparse.Namespace) -> Sequence[Figures]:
    with TemporaryDirectory(prefix="quota-") as folder:
        places = [Path(folder) / scenario.name for scenario in scenarios]
        for scenario, place in zip(scenarios, places, strict=True):
            place.mkdir()
            for number, (creates, events) in enumerate(scenario.mixes):
                mix = Mix(f"b{number}", creates, events, int(60 * options.minutes) + 30)
                await fill(place / f"b{number}.db", mix)
        await asyncio.gather(*(_play(*pair, options) for pair in zip(scenarios, places, strict=True)))
        return [
            figures(scenario.name, place / "journal", options.minutes)
            for scenario, place in zip(scenarios, places, strict=True)
        ]


async def _play(scenario: Scenario, place: Path, options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        base_url = await stack.enter_async_context(_emulator(place, options.speed))
        await _make_signalled(base_url)
        for number in range(len(scenario.mixes)):
            await stack.enter_async_context(_bridge(place, f"b{number}", base_url, options.speed))
        if scenario.foreign:
            stranger = asyncio.create_task(_foreign(base_url, options))
            stack.callback(stranger.cancel)
        await _first_request(place / "journal")
        await asyncio.sleep(60 * options.minutes / options.speed + 0.2)


@asynccontextmanager
async def _process(log: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process, ended by SIGTERM; its standard error goes to a file. Raises RuntimeError if it ended itself."""
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *arguments, stdout=asyncio.subprocess.PIPE, stderr=file
        )
    try:
        yield process
        if process.returncode is not None:
            raise RuntimeError(f"{arguments[0]} ended by itself: {log.read_text()[-2000:]}")
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
        if process.returncode is None:
            process.kill()


@asynccontextmanager
async def _emulator(place: Path, speed: float) -> AsyncIterator[str]:
    config = place / "emulator.yaml"
    workflows = {"signals": "waits: go", "*": "completes"}
    settings = {"workflows": workflows, "ended_event": None, "more_tokens": {"setup": SETUP_TOKEN}}
    config.write_bytes(orjson.dumps({"account_id": ACCOUNT, **settings}))
    command = ["bridge", "emulator", "--port", "0", "--config", str(config), "--journal", str(place / "journal")]
    async with _process(place / "emulator.log", *command, "--speed", str(speed)) as process:
        assert process.stdout is not None  # noqa: S101  it was asked for above
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        if not line.startswith("base_url: "):
            raise RuntimeError(f"the emulator did not start: {(place / 'emulator.log').read_text()[-2000:]}")
        yield line.removeprefix("base_url: ").strip()


@asynccontextmanager
async def _bridge(place: Path, name: str, base_url: str, speed: float) -> AsyncIterator[None]:
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
    async with _process(place / f"{name}.log", "bench.quota.bridge", str(path), str(speed)):
        yield


async def _make_signalled(base_url: str) -> None:
    """The instances that events go to, on a token of their own."""
    url = f"{base_url}/accounts/{ACCOUNT}/workflows/signals/instances/batch"
    headers = {"authorization": f"Bearer {SETUP_TOKEN}"}
    async with httpx.AsyncClient() as client:
        answer = await client.post(url, headers=headers, json=[{"instance_id": f"s-{n}"} for n in range(SIGNALLED)])
        answer.raise_for_status()


async def _foreign(base_url: str, options: argparse.Namespace) -> None:
    """Lists instances in bursts, all of a burst at once, a third of the quota in all."""
    chance = random.Random(options.seed)  # noqa: S311  seeded, so that a run can be repeated
    url = f"{base_url}/accounts/{ACCOUNT}/workflows/signals/instances?per_page=1"
    per_second = FOREIGN_SHARE * 1200 / 300
    limits = httpx.Limits(max_connections=LARGEST_BURST, max_keepalive_connections=LARGEST_BURST)
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}, limits=limits, timeout=30) as client:
        while True:
            burst = chance.randint(1, LARGEST_BURST)
            await asyncio.gather(*(client.get(url) for _ in range(burst)))
            await asyncio.sleep(burst / per_second * (0.5 + chance.random()) / options.speed)


async def _first_request(journal: Path) -> None:
    async with asyncio.timeout(60):
        while b'"token":"main"' not in journal.read_bytes():
            await asyncio.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    os.environ.pop("WORKFLOW_BRIDGE_EMULATOR_TOKEN", None)
    main()
