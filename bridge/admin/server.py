"""The health listener: probes and metrics of this process, answered in a thread of its own.

A probe tells about this process only, never about a broker or the API: an outage there must not take the Pod out of
service. ``/livez`` tells whether the event loop still beats; the other paths ask the loop, and wait for it no longer
than a probe would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bridge.admin.heartbeat import Heartbeat
from bridge.admin.listener import Listener
from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from bridge.admin.settings import HealthSettings
    from bridge.metrics import Metrics

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
        self._listener = Listener("health", settings.host, settings.port)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; the real port once it listens."""
        return self._listener.address

    async def start(self) -> None:
        """Listen; connections are answered when this returns. Raises ConfigError when the address is not free."""
        await self._listener.start(self._application())
        self._heartbeat.start()

    async def stop(self) -> None:
        """Stop listening. May be called more than once, and before ``start``."""
        self._heartbeat.stop()
        await self._listener.stop()

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
        """What the event loop says; None where it does not get to it."""
        try:
            return await self._listener.ask(read)
        except TimeoutError:
            return None


def _answer(waiting_for: tuple[str, ...]) -> Response:
    if not waiting_for:
        return PlainTextResponse("ok\n", headers=HEADERS)
    return PlainTextResponse(redact(f"waiting for {', '.join(waiting_for)}\n"), status_code=503, headers=HEADERS)
