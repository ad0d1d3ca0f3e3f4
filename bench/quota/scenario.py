"""One scenario: its processes, from the first to the last, and what the emulator's journal says of them."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import httpx
import orjson

from bench.quota import bridge, emulator, stranger
from bench.quota.conductor import Conductor
from bench.quota.figures import Figures, figures
from bench.quota.load import SIGNALLED, Mix, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

# Forked off a process that has imported everything, and does nothing else: a bridge starts at once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["bench.quota.scenario"])
TOKEN, SETUP_TOKEN, ACCOUNT = "emulator-token", "setup-token", "quota"
START_SECONDS, STOP_SECONDS = 60, 10


class Scenario(NamedTuple):
    """``aims``: between what and what a figure has to be."""

    name: str
    mixes: Sequence[tuple[int, float]]  # creates and events per second that wait for each bridge
    foreign: bool
    aims: Mapping[str, tuple[float, float]]


class Options(NamedTuple):
    """How it is played."""

    minutes: float
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
        place = Path(folder)
        for number, (creates, events) in enumerate(scenario.mixes):
            mix = Mix(f"b{number}", creates, events, int(60 * options.minutes) + 30)
            asyncio.run(fill(place / f"b{number}.db", mix))
        try:
            _play(scenario, place, options)
        except (RuntimeError, OSError) as error:
            said = "".join(log.read_text()[-1000:] for log in sorted(place.glob("*.log")))
            raise RuntimeError(f"{scenario.name}: {error}: {said}") from error
        return figures(scenario.name, place / "journal", options.minutes)


def _play(scenario: Scenario, place: Path, options: Options) -> None:
    with ExitStack() as stack:
        conductor = stack.enter_context(closing(Conductor(place, time.time())))
        told, tell = PROCESSES.Pipe(duplex=False)
        stack.enter_context(_process(emulator.serve, place, 0, _settings(place), tell))
        if not told.poll(START_SECONDS):
            raise RuntimeError("the emulator did not start")
        base_url = told.recv()
        _make_signalled(base_url)
        bridges, number = len(scenario.mixes), 0
        for number in range(1, bridges + 1):
            config = _config(place, f"b{number - 1}", base_url)
            stack.enter_context(_process(bridge.serve, place, number, config))
        if scenario.foreign:
            number += 1
            url = f"{base_url}/accounts/{ACCOUNT}/workflows/signals/instances?per_page=1"
            stack.enter_context(_process(stranger.serve, place, number, url, TOKEN, options.seed))
        conductor.play(1 + number, 60 * options.minutes + 5)
        conductor.close()  # without it nobody's time would pass to the end


@contextmanager
def _process(serve: Callable[..., None], place: Path, number: int, *given: object) -> Iterator[None]:
    """A member of the common time, ended by SIGTERM; what it says goes to a file."""
    process = PROCESSES.Process(target=_say_into, args=(place / f"{number}.log", serve, place, number, *given))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join(STOP_SECONDS)
        process.kill()


def _say_into(log: Path, serve: Callable[..., None], *given: object) -> None:
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    serve(*given)


def _settings(place: Path) -> dict[str, object]:
    return {
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


def _make_signalled(base_url: str) -> None:
    """The instances that events go to, on a token of their own."""
    url = f"{base_url}/accounts/{ACCOUNT}/workflows/signals/instances/batch"
    headers = {"authorization": f"Bearer {SETUP_TOKEN}"}
    wanted = [{"instance_id": f"s-{n}"} for n in range(SIGNALLED)]
    httpx.post(url, headers=headers, json=wanted, trust_env=False).raise_for_status()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
