"""The running bridge's end of the local socket: takes requests of commands, one after the other on each connection."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from bridge.control.answering import answer
from bridge.control.place import MAX_LINE_BYTES, is_ours, listening

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.control.operator import Operator

STATUS = "status"  # what only a bridge that runs can tell
log = structlog.get_logger(__name__)


class Listener:
    """Answers until it is closed. Without its socket the bridge works, and only commands do not reach it."""

    def __init__(self, operator: Operator, status: Callable[[], dict[str, Any]]) -> None:
        """status: how the bridge is, for ``{"do": "status"}``."""
        self._operator = operator
        self._status = status
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self, name: str) -> None:
        """Listen under this name."""
        try:
            self._server = await asyncio.start_unix_server(self._serve, sock=listening(name), limit=MAX_LINE_BYTES)
        except OSError as error:
            log.warning("control_unreachable", reason=str(error))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if is_ours(writer.get_extra_info("socket")):
                await self._answer_all(reader, writer)
        except (OSError, ValueError, asyncio.CancelledError):  # gone, too long a line, or the bridge stops
            return
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(orjson.dumps(await self._answer(line)) + b"\n")
            await writer.drain()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = orjson.loads(line)
            return self._status() if request.get("do") == STATUS else await answer(self._operator, request)
        except Exception as error:
            log.exception("control_request_failed")
            return {"error": f"a defect of the bridge: {error!r}"}

    async def stop(self) -> None:
        """Hang up. May be called before ``start``."""
        if self._server is None:
            return
        self._server.close()
        for writer in self._open:
            writer.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._server.wait_closed()
