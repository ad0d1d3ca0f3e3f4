"""The health listener: probes and metrics of this process, answered in a thread of its own.

A probe tells about this process only, never about a broker or the API: an outage there must not take the Pod out of
service. ``/livez`` tells whether the event loop still beats; the other paths ask the loop, and wait for it no longer
than a probe would.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import uvicorn
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from bridge.admin.heartbeat import Heartbeat
from bridge.errors import ConfigError, Problem
from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request

    from bridge.admin.settings import HealthSettings
    from bridge.metrics import Metrics

MAX_CONNECTIONS = 64  # the oldest makes room for the next, so that idle ones cannot keep a probe out
MAX_HEAD_BYTES = 16_384  # of a request's line and headers
CONNECTION_SECONDS = 30.0  # the longest life of one connection between two answers
STOP_SECONDS = 1  # how long answers under way may take when the listener stops
LOOP_SECONDS = 5.0  # how long the event loop may take to say what a probe or a scrape asks of it
T = TypeVar("T")
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Readiness(NamedTuple):
    """What this process says of itself; asked at every probe, so it must not block.

    started: the configuration is loaded and the outbox is open; stays True once it was.
    waiting_for: what keeps it from being ready, in words for people; empty: ready.
    """

    started: bool
    waiting_for: tuple[str, ...] = ()


class HealthServer:
    """``/livez``, ``/readyz``, ``/startupz`` and ``/metrics`` on one port.

    seconds: a monotonic clock that any thread may read.
    """

    def __init__(
        self,
        settings: HealthSettings,
        metrics: Metrics,
        readiness: Callable[[], Readiness],
        seconds: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._readiness = readiness
        self._heartbeat = Heartbeat(seconds, metrics.loop_lagged)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop  # the one that this tells about
        self.address: tuple[str, int] = (settings.host, settings.port)  # with the real port once it listens

    async def start(self) -> None:
        """Listen; connections are answered when this returns. Raises ConfigError when the address is not free."""
        self._loop = asyncio.get_running_loop()
        listener = _listen(self._settings)
        self.address = listener.getsockname()[:2]
        server = self._server = _Server(_server_config(self._application()))
        self._thread = threading.Thread(
            target=lambda: asyncio.run(server.serve([listener])), name="health-listener", daemon=True
        )
        self._heartbeat.start()
        self._thread.start()
        await asyncio.to_thread(server.listening.wait)

    async def stop(self) -> None:
        """Stop listening. May be called more than once, and before ``start``."""
        self._heartbeat.stop()
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            await asyncio.to_thread(self._thread.join)
            self._server = self._thread = None

    def _application(self) -> Starlette:
        routes = {
            "/livez": self._live,
            "/readyz": self._ready,
            "/startupz": self._started,
            "/metrics": self._scrape,
        }
        return Starlette(routes=[Route(path, answer, methods=["GET"]) for path, answer in routes.items()])

    # --- in the listener's thread ------------------------------------------------------------------------------------

    async def _live(self, _request: Request) -> Response:
        silent = self._heartbeat.silent_seconds
        if silent > self._settings.stuck_seconds:
            return _answer((f"the event loop, which has been stuck for {silent:.0f} seconds",))
        return _answer(())

    async def _ready(self, _request: Request) -> Response:
        state = await self._ask(self._readiness)
        if state is None:
            return _answer(("the event loop",))
        return _answer(state.waiting_for or (() if state.started else ("start",)))

    async def _started(self, _request: Request) -> Response:
        state = await self._ask(self._readiness)
        return _answer(() if state is not None and state.started else ("start",))

    async def _scrape(self, request: Request) -> Response:
        """OpenMetrics to who asks for it, else the text format of Prometheus."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        text = await self._ask(lambda: encode(self._metrics.registry))
        if text is None:
            return _answer(("the event loop",))
        return Response(text, headers={**HEADERS, "Content-Type": content_type})

    async def _ask(self, read: Callable[[], T]) -> T | None:
        """What the event loop says; None where it does not get to it. Nothing that it owns is touched from here."""

        async def answer() -> T:
            return read()

        asked = asyncio.run_coroutine_threadsafe(answer(), self._loop)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(asked), LOOP_SECONDS)
        except TimeoutError:
            return None


def _answer(waiting_for: tuple[str, ...]) -> Response:
    if not waiting_for:
        return PlainTextResponse("ok\n", headers=HEADERS)
    return PlainTextResponse(redact(f"waiting for {', '.join(waiting_for)}\n"), status_code=503, headers=HEADERS)


def _listen(settings: HealthSettings) -> socket.socket:
    """Bound here, because uvicorn ends the process when it cannot bind."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=MAX_CONNECTIONS)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a host name"
        where = f"{settings.host}:{settings.port}"
        raise ConfigError([Problem("health", f"cannot listen on {where}: {why}")]) from error


def _server_config(application: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


class _Server(uvicorn.Server):
    """Leaves the signals to the process that it is a part of, and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


class _Connection(H11Protocol):
    """A connection that ends by itself: uvicorn alone waits for ever for the rest of a request."""

    _numbers = count()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self.number = next(self._numbers)
        super().connection_made(transport)
        self._deadline = self.loop.call_later(CONNECTION_SECONDS, self._expire)
        if len(self.connections) > MAX_CONNECTIONS:
            oldest: Any = min(self.connections, key=lambda connection: getattr(connection, "number", 0))
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def _expire(self) -> None:
        """Close between two answers; who does not take an answer for so long again is cut off."""
        answering = self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]  # None before the first request
        if answering:
            self._deadline = self.loop.call_later(CONNECTION_SECONDS, self.transport.abort)
        else:
            self.transport.close()
