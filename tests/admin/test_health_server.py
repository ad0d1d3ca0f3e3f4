from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from bridge.admin import heartbeat
from bridge.admin import listener as module
from bridge.admin.server import HealthServer, Readiness
from bridge.admin.settings import HealthSettings
from bridge.errors import ConfigError
from bridge.metrics import Metrics
from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Process:
    """A health server whose answers the test decides."""

    state: Readiness = field(default_factory=lambda: Readiness(started=True))

    def __post_init__(self) -> None:
        self.metrics = Metrics(CollectorRegistry())
        settings = HealthSettings(host="127.0.0.1", port=0, stuck_seconds=3)  # a beat is half a second old
        self.server = HealthServer(settings, self.metrics, lambda: self.state, monotonic)

    @property
    def url(self) -> str:
        host, port = self.server.address
        return f"http://{host}:{port}"

    async def get(self, path: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(self.url + path, headers=headers)


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    process = Process()
    await process.server.start()
    yield process
    await process.server.stop()


SECONDS = 60.0
PROBES = ("/livez", "/startupz", "/readyz")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (Readiness(started=False, waiting_for=("the outbox",)), (200, 503, 503)),
        (Readiness(started=False), (200, 503, 503)),
        (Readiness(started=True, waiting_for=("shutdown",)), (200, 200, 503)),
        (Readiness(started=True), (200, 200, 200)),
    ],
)
async def test_probes_tell_the_state_of_this_process(
    process: Process, state: Readiness, expected: tuple[int, ...]
) -> None:
    """Alive while the loop answers; started once; ready while nothing is waited for."""
    process.state = state
    assert expected == tuple([(await process.get(path)).status_code for path in PROBES])


async def test_a_probe_that_fails_says_why(process: Process) -> None:
    """Kubernetes shows the body in the Pod's events; a secret in it is masked."""
    redact.add(["pa55word"])
    process.state = Readiness(started=True, waiting_for=("the outbox", "amqp://u:pa55word@host"))
    answer = await process.get("/readyz")
    redact.clear()
    assert answer.text == "waiting for the outbox, amqp://u:[secret]@host\n"


def status(process: Process, path: str) -> int:
    """As the kubelet asks."""
    connection = HTTPConnection(*process.server.address, timeout=SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


async def test_a_loop_that_is_stuck_is_not_alive(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """``/livez`` fails once the loop is blocked for longer than it may be, and not before; the others do not hang."""
    monkeypatch.setattr(module, "LOOP_SECONDS", 0.1)
    seen: list[tuple[str, int]] = []

    def ask() -> None:
        seen.append(("at once", status(process, "/livez")))
        seen.extend((path, status(process, path)) for path in ("/readyz", "/startupz", "/metrics"))
        deadline = monotonic() + SECONDS
        while status(process, "/livez") == 200 and monotonic() < deadline:
            pass
        seen.append(("stuck", status(process, "/livez")))

    stuck = Thread(target=ask)
    stuck.start()
    stuck.join()  # this blocks the loop, as a defect would
    assert seen == [("at once", 200), ("/readyz", 503), ("/startupz", 503), ("/metrics", 503), ("stuck", 503)]
    await asyncio.sleep(heartbeat.SECONDS)
    assert [(await process.get(path)).status_code for path in PROBES] == [200, 200, 200]
    lag = process.metrics.registry.get_sample_value("workflow_bridge_event_loop_lag_seconds_sum")
    assert lag is not None
    assert lag > 0.5


async def test_metrics_come_in_both_formats(process: Process) -> None:
    """OpenMetrics to who asks for it, the text format to everybody else."""
    process.metrics.received("orders", 3, 10)
    plain = await process.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    assert 'workflow_bridge_source_messages_received_total{source="orders"} 3.0' in plain.text
    modern = await process.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert modern.text.endswith("# EOF\n")
    names = {family.name for family in text_string_to_metric_families(modern.text)}  # type: ignore[no-untyped-call]
    assert "workflow_bridge_source_messages_received" in names


async def test_nothing_else_is_served(process: Process) -> None:
    """Unknown paths and methods that change something are refused; the server does not name itself."""
    async with httpx.AsyncClient(base_url=process.url, trust_env=False) as client:
        assert [(await client.get(path)).status_code for path in ("/", "/docs", "/livez/x")] == [404, 404, 404]
        assert [(await client.request(method, "/livez")).status_code for method in ("POST", "PUT", "DELETE")] == [
            405
        ] * 3
        answer = await client.get("/livez")
    assert "server" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


async def test_signals_stay_with_the_process() -> None:
    """The listener installs no signal handler of its own and takes none away."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    process = Process()
    await process.server.start()
    during = {number: signal.getsignal(number) for number in before}
    await process.server.stop()
    assert before == during
    assert before == {number: signal.getsignal(number) for number in before}


async def test_an_address_in_use_is_a_problem_of_the_configuration(process: Process) -> None:
    """The process is not ended from inside a library; the port is named."""
    port = process.server.address[1]
    settings = HealthSettings(host="127.0.0.1", port=port)
    second = HealthServer(settings, process.metrics, lambda: process.state, monotonic)
    with pytest.raises(
        ConfigError, match=rf"health: cannot listen on 127\.0\.0\.1:{port}: Address already in use; .*health\.port"
    ):
        await second.start()
    await second.stop()


async def test_stop_frees_the_port_and_may_be_called_again() -> None:
    """Also while somebody holds an idle connection."""
    process = Process()
    await process.server.stop()
    await process.server.start()
    address = process.server.address
    _, writer = await asyncio.open_connection(*address)
    await asyncio.wait_for(process.server.stop(), SECONDS)
    await process.server.stop()
    socket.create_server(address).close()
    writer.close()


async def test_idle_connections_cannot_keep_a_probe_out(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there are too many the oldest is closed, and the next probe is answered."""
    monkeypatch.setattr(module.Connection, "most", 3)
    idle = [await asyncio.open_connection(*process.server.address) for _ in range(5)]
    assert (await process.get("/livez")).status_code == 200
    for reader, _ in idle[:2]:
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), SECONDS)
    for _, writer in idle:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_half_a_request_is_not_waited_for_without_end(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never finishes its headers is disconnected."""
    monkeypatch.setattr(module.Connection, "seconds", 0.05)
    reader, writer = await asyncio.open_connection(*process.server.address)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow:")
    assert await asyncio.wait_for(reader.read(), SECONDS) == b""
    writer.close()


async def test_a_head_without_end_is_refused(process: Process) -> None:
    """Memory for one request is bounded."""
    reader, writer = await asyncio.open_connection(*process.server.address)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Big: " + b"x" * 200_000)
    assert (await asyncio.wait_for(reader.readline(), SECONDS)).startswith(b"HTTP/1.1 400")
    writer.close()


async def test_an_idle_listener_sleeps_and_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at the clock once, for the date of its answers, and need not look again to be told to stop."""
    looks: list[int] = []
    look = module._Server.on_tick

    async def counted(server: module._Server, counter: int) -> bool:
        looks.append(counter)
        return await look(server, counter)

    monkeypatch.setattr(module, "TICK_SECONDS", 3_600.0)
    monkeypatch.setattr(module._Server, "on_tick", counted)
    process = Process()
    await process.server.start()
    answer = await process.get("/livez")
    assert parsedate_to_datetime(answer.headers["date"]).tzinfo is not None
    async with asyncio.timeout(SECONDS):
        await process.server.stop()
    assert len(looks) == 2
