"""One demo run: starts both sides and a bridge of its own between them, produces, waits until everything arrived."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import orjson

from bridge.admin.probe import read
from bridge.demo.broker import EmbeddedBroker
from bridge.demo.orders import ORDERS, PAYMENTS, messages
from bridge.demo.summary import Summary, arrivals, summarise
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings
from bridge.errors import BridgeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from bridge.demo.orders import Produced

WORKFLOWS = {"fulfil-order": "waits: payment-received"}
READY_SECONDS = 30.0
STALLED_SECONDS = 60.0  # without any arrival: what is missing then is lost
LOOK_SECONDS = 0.05
BURST = 250  # messages produced between two looks at the clock
PER_SECOND = 4_000  # produced, at most: so that latency is not only that of a queue
MOST_WAITING = 20_000  # produced and not arrived; the embedded broker keeps a bounded part of its log


class DemoFailed(BridgeError):  # noqa: N818  it says what happened
    """The demo could not be run; the text says where to look."""


class Progress(NamedTuple):
    """How far a run is; messages."""

    produced: int
    arrived: int
    total: int


async def run(count: int, progress: Callable[[Progress], None]) -> Summary:
    """Produce ``count`` messages and see them through. Raises DemoFailed, ConfigError."""
    with TemporaryDirectory(prefix="workflow-bridge-demo-") as folder, EmbeddedBroker() as broker:
        for topic in (ORDERS, PAYMENTS):
            broker.create_topic(topic)
        settings = EmulatorSettings.model_validate({"account_id": "demo", "workflows": WORKFLOWS})
        async with Emulator(settings) as emulator, _bridge(Path(folder), broker, emulator):
            produced = await _produce(messages(count), broker, emulator, progress)
        return summarise(produced, emulator.journal.records)


async def _produce(
    plan: Sequence[Produced], broker: EmbeddedBroker, emulator: Emulator, progress: Callable[[Progress], None]
) -> Mapping[Produced, int]:
    """Produce the plan at a bounded pace, then wait until all of it has arrived or nothing more does."""
    produced: dict[Produced, int] = {}
    failed: list[object] = []
    watch = _Watch(emulator)
    started = time.monotonic()
    while not watch.done(len(plan)):
        allowed = min(int((time.monotonic() - started) * PER_SECOND), watch.arrived + MOST_WAITING) + 1
        for message in plan[len(produced) : min(len(produced) + BURST, allowed)]:
            produced[message] = time.time_ns() // 1_000_000
            broker.produce(
                message.topic, message.key, message.body, lambda error, _: failed.append(error) if error else None
            )
        await asyncio.sleep(0 if len(produced) < min(allowed, len(plan)) else LOOK_SECONDS)
        watch.look()
        progress(Progress(len(produced), watch.arrived, len(plan)))
    if broker.flush() or failed:
        raise DemoFailed(f"the embedded broker did not take all messages: {failed[:1]}")
    return produced


class _Watch:
    """Counts arrivals at the emulator as its journal grows."""

    def __init__(self, emulator: Emulator) -> None:
        self.arrived = 0
        self._emulator = emulator
        self._read = 0
        self._last_news = time.monotonic()

    def look(self) -> None:
        """Count what is new."""
        page = [record for record in self._emulator.journal.records[self._read :] if record.status]
        new = sum(1 for _ in arrivals(page))
        self._read += len(page)
        self.arrived += new
        if new:
            self._last_news = time.monotonic()

    def done(self, total: int) -> bool:
        """Everything is there, or has had its time."""
        return self.arrived >= total or time.monotonic() - self._last_news > STALLED_SECONDS


@contextlib.asynccontextmanager
async def _bridge(folder: Path, broker: EmbeddedBroker, emulator: Emulator) -> AsyncIterator[None]:
    """A bridge in a process of its own, ready when this is entered, drained when it is left."""
    port = _free_port()
    environment = {
        "WORKFLOW_BRIDGE_TARGETS__DEMO__BASE_URL": emulator.base_url,
        "WORKFLOW_BRIDGE_TARGETS__DEMO__API_TOKEN": emulator.token,
        "WORKFLOW_BRIDGE_SOURCES__ORDERS__BOOTSTRAP_SERVERS": orjson.dumps([broker.bootstrap]).decode(),
        "WORKFLOW_BRIDGE_OUTBOX__PATH": str(folder / "outbox.db"),
        "WORKFLOW_BRIDGE_HEALTH__PORT": str(port),
    }
    command = [sys.executable, "-m", "bridge", "run", "--config", str(config_file())]
    log = folder / "bridge.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=out, env=os.environ | environment)
    try:
        await _ready(process, port, log)
        yield
        process.send_signal(signal.SIGTERM)
        if await asyncio.wait_for(process.wait(), READY_SECONDS) != 0:
            raise DemoFailed(f"the bridge ended with exit code {process.returncode}:\n{_tail(log)}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _ready(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not await asyncio.to_thread(_reads, port):
        if process.returncode is not None or time.monotonic() > deadline:
            raise DemoFailed(f"the bridge did not start:\n{_tail(log)}")
        await asyncio.sleep(LOOK_SECONDS)


def _reads(port: int) -> bool:
    """Whether the bridge has its partitions: joining a group takes seconds that say nothing about a message's way."""
    return any(
        line.startswith("workflow_bridge_source_partitions{") and not line.endswith(" 0.0")
        for line in read("127.0.0.1", port, "/metrics").splitlines()
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def config_file() -> Path:
    """``config/demo.yaml``: in an installed package beside this module, in a checkout at its place."""
    packaged = Path(__file__).with_name("demo.yaml")
    return packaged if packaged.exists() else Path(__file__).parents[2] / "config" / "demo.yaml"
