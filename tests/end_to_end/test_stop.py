"""SIGTERM under load: the bridge leaves in order, within its grace, and nothing is lost or made twice."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.bridge_process import BridgeProcess
from tests.end_to_end.places import emulated, make_inlet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.end_to_end.places import Inlet

pytestmark = pytest.mark.slow

ORDERS = 3_000
STOPS = 3
GRACE_SECONDS = 15.0
LIMIT_SECONDS = 60
LEFT_AT_ONCE = 130
SOON_SECONDS = 15.0  # for a busy machine; what must not be waited for takes a minute


@pytest.fixture(
    params=[pytest.param("kafka", marks=pytest.mark.kafka), pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]
)
async def inlet(request: pytest.FixtureRequest, tmp_path: Path) -> Inlet:
    """Orders in a real broker."""
    made = await make_inlet(request.getfixturevalue(request.param), tmp_path)
    if "fetch" in made.source:
        made.source["fetch"] = {"max_records": 100}  # with the memory outbox a stop delivers what was fetched
    await made.fill([b'{"id": %d}' % number for number in range(ORDERS)])
    return made


@pytest.fixture(params=["sqlite", "memory"])
def outbox(request: pytest.FixtureRequest) -> str:
    """Both ways to keep calls."""
    return str(request.param)


def bridge_for(
    inlet: Inlet, outbox: str, api: Any, folder: Path, grace_seconds: float = GRACE_SECONDS
) -> BridgeProcess:
    """On the same folder it is the same outbox."""
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(api.token)
    target = {"account_id": api.account_id, "base_url": api.base_url, "concurrency": 1}
    config: dict[str, Any] = {
        "targets": {"main": {**target, "api_token_file": str(folder / "token")}},
        "sources": {"orders": inlet.source},
        "rules": [{"name": "all", "create": {"workflow": "fulfil", "id": "o-${body.id}"}}],
        "outbox": {"type": outbox},
        "shutdown": {"grace_seconds": grace_seconds},
    }
    if outbox == "memory":
        config["outbox"]["max_entries"] = 300
        config["dead_letters"] = "discard"
    return BridgeProcess(folder, config)


async def test_stopped_under_load(inlet: Inlet, outbox: str, tmp_path: Path) -> None:
    """Three times SIGTERM, in the middle of the work: exit 0 within the grace; every order arrives, and none twice."""
    async with emulated() as recorder:
        with bridge_for(inlet, outbox, recorder, tmp_path / "bridge") as bridge:
            for stop in range(STOPS):
                await recorder.reached(1 + ORDERS // 5 * stop)
                began = time.monotonic()
                assert await asyncio.to_thread(bridge.stop) == 0
                assert time.monotonic() - began < GRACE_SECONDS
                assert len(recorder.received) < ORDERS, "a stop with nothing to do shows nothing"
                recorder.life += 1
                bridge.start()
            await recorder.reached(ORDERS)
            assert await asyncio.to_thread(bridge.stop) == 0
    assert set(recorder.received) == {f"create o-{number}" for number in range(ORDERS)}
    assert recorder.repeated == {}
    events = [event["event"] for event in bridge.events()]
    assert (events.count("started"), events.count("stopping"), events.count("stopped")) == (STOPS + 1,) * 3
    assert await inlet.acknowledged() == set(inlet.bodies)


async def test_the_grace_ends(inlet: Inlet, outbox: str, tmp_path: Path) -> None:
    """An API that does not answer: exit 0 soon after the grace, and after the next start everything arrives."""
    async with silent() as api:
        with bridge_for(inlet, outbox, api, tmp_path / "bridge", grace_seconds=1) as bridge:
            await until(lambda: api.requests > 0)
            began = time.monotonic()
            assert await asyncio.to_thread(bridge.stop) == 0
            assert 0.9 < time.monotonic() - began < SOON_SECONDS
    await everything_arrives(inlet, outbox, tmp_path)


async def test_a_second_signal_leaves_at_once(inlet: Inlet, outbox: str, tmp_path: Path) -> None:
    """The first drains, for as long as an API that does not answer lets it; the second ends the process."""
    async with silent() as api:
        with bridge_for(inlet, outbox, api, tmp_path / "bridge", grace_seconds=60) as bridge:
            await until(lambda: api.requests > 0)
            assert bridge.process is not None
            bridge.process.send_signal(signal.SIGTERM)
            await until(lambda: any(event["event"] == "stopping" for event in bridge.events()))
            assert bridge.process.poll() is None
            began = time.monotonic()
            assert await asyncio.to_thread(bridge.stop) == LEFT_AT_ONCE
            assert time.monotonic() - began < SOON_SECONDS
    await everything_arrives(inlet, outbox, tmp_path)


async def everything_arrives(inlet: Inlet, outbox: str, folder: Path) -> None:
    """A new process on the same outbox, with an API that answers."""
    async with emulated() as recorder:
        with bridge_for(inlet, outbox, recorder, folder / "bridge") as bridge:
            await recorder.reached(ORDERS)
            assert await asyncio.to_thread(bridge.stop) == 0
    assert set(recorder.received) == {f"create o-{number}" for number in range(ORDERS)}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


class Silent:
    """An API that takes requests and never answers."""

    token, account_id = "t", "a"

    def __init__(self) -> None:
        self.requests = 0
        self.base_url = ""
        self.writers: list[asyncio.StreamWriter] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read until the client gives up."""
        self.writers.append(writer)
        while part := await reader.read(1 << 16):
            self.requests += part.startswith(b"POST ")


@contextlib.asynccontextmanager
async def silent() -> AsyncIterator[Silent]:
    api = Silent()
    server = await asyncio.start_server(api.answer, "127.0.0.1", 0)
    api.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/client/v4"
    try:
        yield api
    finally:
        server.close()
        for writer in api.writers:
            writer.close()
