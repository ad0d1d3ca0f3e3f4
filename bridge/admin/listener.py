"""An HTTP listener in a thread and an event loop of its own: neither it nor the main loop is silenced by the other.

What the main loop owns is asked for by ``ask`` and ``call``; nothing of it is touched from the thread.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from bridge.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from starlette.types import ASGIApp

BACKLOG = 64
MAX_HEAD_BYTES = 16_384  # of a request's line and headers
TICK_SECONDS = 1.0
ACCEPTING_TURNS = 5  # of the event loop, from accepting a connection to its being known
STOP_SECONDS = 1  # how long answers under way may take when the listener stops
LOOP_SECONDS = 5.0  # how long the main event loop may take to say what is asked of it
T = TypeVar("T")


class Connection(H11Protocol):
    """A connection that ends by itself: uvicorn alone waits for ever for the rest of a request."""

    most = 64  # of one listener; the oldest makes room for the next, so that idle ones cannot keep others out
    seconds = 30.0  # the longest life of one connection between two answers
    _numbers = count()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take it, and set its end."""
        self.number = next(self._numbers)
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.seconds, self._expire)
        if len(self.connections) > self.most:
            oldest: Any = min(self.connections, key=lambda connection: getattr(connection, "number", 0))
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget its end."""
        self._deadline.cancel()
        super().connection_lost(exc)

    def _expire(self) -> None:
        """Close between two answers; who does not take an answer for so long again is cut off."""
        answering = self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]  # None before the first request
        if answering:
            self._deadline = self.loop.call_later(self.seconds, self.transport.abort)
        else:
            self.transport.close()


class Listener:
    """One port. ``section`` is the part of the configuration that names it."""

    def __init__(self, section: str, host: str, port: int, connection: type[Connection] = Connection) -> None:
        self._section = section
        self._connection = connection
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop  # the main one
        self.address: tuple[str, int] = (host, port)  # with the real port once it listens

    async def start(self, application: ASGIApp) -> None:
        """Listen; connections are answered when this returns. Raises ConfigError when the address is not free."""
        self._loop = asyncio.get_running_loop()
        listener = _listen(self._section, *self.address)
        self.address = listener.getsockname()[:2]
        server = self._server = _Server(_server_config(application, self._connection))
        self._thread = threading.Thread(
            target=lambda: asyncio.run(server.serve([listener])), name=f"{self._section}-listener", daemon=True
        )
        self._thread.start()
        await asyncio.to_thread(server.listening.wait)

    async def stop(self) -> None:
        """Stop listening. May be called more than once, and before ``start``."""
        if self._server is not None and self._thread is not None:
            self._server.end()
            await asyncio.to_thread(self._thread.join)
            self._server = self._thread = None

    # --- in the listener's thread ------------------------------------------------------------------------------------

    async def ask(self, read: Callable[[], T]) -> T:
        """What the main loop says. Raises TimeoutError where it does not get to it."""

        async def answer() -> T:
            return read()

        return await self.call(answer(), LOOP_SECONDS)

    async def call(self, asked: Coroutine[Any, Any, T], seconds: float) -> T:
        """What a coroutine gives that runs in the main loop. Raises what it raises, and TimeoutError."""
        done = asyncio.run_coroutine_threadsafe(asked, self._loop)
        return await asyncio.wait_for(asyncio.wrap_future(done), seconds)


def _listen(section: str, host: str, port: int) -> socket.socket:
    """Bound here, because uvicorn ends the process when it cannot bind."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "not a host name"
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            why += f"; end what listens there, or set {section}.port (0: any that is free)"
        raise ConfigError([Problem(section, f"cannot listen on {host}:{port}: {why}")]) from error


def _server_config(application: ASGIApp, connection: type[Connection]) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=connection,
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
        self._ending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop  # its own

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Once a second, for the date of the answers; uvicorn looks ten times whether it is to end, idle or not."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """A connection that is just being accepted would be left open: the server takes none when it is closed."""
        for _ in range(ACCEPTING_TURNS):
            await asyncio.sleep(0)
        await super().shutdown(sockets)

    def end(self) -> None:
        """From the main thread: stop listening."""
        self.should_exit = True
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._ending.set)
