"""The admin listener: the API and the page. Whatever goes wrong with it, messages flow on."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.routing import Route as StarletteRoute

from bridge.admin.access import Tokens
from bridge.admin.application import application
from bridge.admin.guard import Guard
from bridge.admin.listener import Connection, Listener
from bridge.console.api import Api
from bridge.console.overview import overview
from bridge.console.routes import PREFIX, starlette_route
from bridge.console.sampling import SECONDS, History
from bridge.console.sources import sources
from bridge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from bridge.admin.settings import AdminSettings
    from bridge.console.running import Running

log = structlog.get_logger(__name__)

PAGE = Path(__file__).parents[1] / "admin" / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


class _Patient(Connection):
    """A page keeps its connection, and a stream takes minutes."""

    seconds = 300.0


class Console:
    """Listens for operators. seconds: a monotonic clock that any thread may read."""

    def __init__(self, settings: AdminSettings, running: Running, seconds: Callable[[], float]) -> None:
        self._settings = settings
        self._running = running
        self._history = History()
        self._listener = Listener("admin", settings.host, settings.port, _Patient)
        self._tokens = Tokens(settings, seconds)
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; the real port once it listens."""
        return self._listener.address

    async def start(self) -> None:
        """Listen. An address that is not free is logged, and nothing else happens.

        Samples are taken in any case: ``status`` is asked for by a command, too.
        """
        self._sample()
        if not self._settings.enabled:
            return
        try:
            await self._listener.start(self._application())
        except ConfigError as error:
            log.warning("admin_not_listening", reason=str(error))
            return
        host, port = self.address
        log.info("admin_listening", host=host, port=port, tokens=self._settings.has_tokens)

    def status(self) -> dict[str, Any]:
        """The overview without its history, and the sources, as JSON has them."""
        seen = asdict(replace(overview(self._running, self._history, may_act=True), history=[]))
        del seen["history"], seen["may_act"]
        return seen | asdict(sources(self._running, self._history))

    async def stop(self) -> None:
        """Stop listening. May be called more than once, and before ``start``."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._listener.stop()

    def _sample(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SECONDS, self._sample)
        self._history.add(self._running.sample())

    def _application(self) -> Guard:
        api = Api(self._running, self._history, self._listener)
        harmless = {PREFIX + route.path for route in api.routes if route.method == "POST" and not route.acts}
        endless = {PREFIX + route.path for route in api.routes if route.gives is None}
        inner = application([*map(starlette_route, api.routes), *_page_routes()])
        return Guard(inner, self._tokens, self._settings.hosts, self._seconds, harmless=harmless, endless=endless)


def _page_routes() -> Sequence[StarletteRoute]:
    """The files of the page; they hold no data, so nobody has to show a token for them."""
    return [StarletteRoute("/", _page, methods=["GET"]), StarletteRoute("/page/{name:path}", _page, methods=["GET"])]


async def _page(request: Request) -> Response:
    name = request.path_params.get("name", "index.html")
    file = (PAGE / name).resolve()
    if not file.is_relative_to(PAGE) or file.suffix not in TYPES or not file.is_file():
        raise HTTPException(404)
    return FileResponse(file, media_type=TYPES[file.suffix])
