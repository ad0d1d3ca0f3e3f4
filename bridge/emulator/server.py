"""The emulator behind a socket, in the running event loop: for tests, for the demo, and for its own command."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import uvicorn

from bridge.emulator.application import BASE_PATH, Application
from bridge.emulator.settings import EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge.emulator.account import Account
    from bridge.emulator.journal import Journal

BACKLOG = 1024
KEEP_SECONDS = 75  # how long an idle connection stays open
STOP_SECONDS = 2  # how long requests under way may take when it stops


def fast_clock(speed: float) -> Callable[[], int]:
    """Unix milliseconds from now on, counting ``speed`` seconds in one; steps of the computer's clock do not count.

    The emulator stands for another computer, so it has a clock of its own.
    """
    started, began = time.time_ns(), time.monotonic_ns()
    return lambda: int(started + (time.monotonic_ns() - began) * speed) // 1_000_000


class Emulator:
    """A Workflows API in memory.

    async with Emulator(EmulatorSettings(workflows={"fulfil-order": "waits: payment-received"})) as emulator:
        emulator.base_url, emulator.token, emulator.account_id   # for the settings of a target
        emulator.journal.records                                 # what it was asked, what it answered
    """

    def __init__(self, settings: EmulatorSettings | None = None, clock: Callable[[], int] | None = None) -> None:
        """clock: one of your own, in Unix milliseconds; None: the computer's, at the speed of the settings."""
        self._settings = settings or EmulatorSettings()
        self.application = Application(self._settings, clock or fast_clock(self._settings.speed))
        self.token = self._settings.token.get_secret_value()
        self.account_id = self._settings.account_id
        self.base_url = ""
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def journal(self) -> Journal:
        """What was asked and answered so far."""
        return self.application.journal

    @property
    def account(self) -> Account:
        """The workflows and their instances."""
        return self.application.account

    async def __aenter__(self) -> Self:
        """Listen. Connections are taken from now on. Raises OSError when the port is not free."""
        listener = _listen(self._settings.host, self._settings.port)
        host, port = listener.getsockname()[:2]
        self.base_url = f"http://{f'[{host}]' if ':' in host else host}:{port}{BASE_PATH}"
        self._server = _Server(_config(self.application))
        self._serving = asyncio.create_task(self._server.serve([listener]))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening; the account and the journal stay readable."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
        self.journal.close()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process that the emulator is a part of."""
        yield


def _config(application: Application) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off only where it is: 40 ms an answer otherwise.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
