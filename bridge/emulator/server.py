"""The emulator behind a socket, in the running event loop: for tests, for the demo, and for its own command."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any, Self

import orjson

from bridge.emulator.application import BASE_PATH, Application
from bridge.emulator.connection import Connection, Connections
from bridge.emulator.settings import EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.emulator.account import Account
    from bridge.emulator.instance import Instance
    from bridge.emulator.journal import Journal

BACKLOG = 1024
STOP_SECONDS = 2  # how long answers that are due may take when it stops


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
        """clock: one of your own, in Unix milliseconds; None: the computer's, at the speed of the settings.

        Raises OSError and StateUnusable for a ``state_dir`` that cannot be used.
        """
        self._settings = settings or EmulatorSettings()
        self.application = Application(self._settings, clock or fast_clock(self._settings.speed))
        self.token = self._settings.token.get_secret_value()
        self.account_id = self._settings.account_id
        self.base_url = ""
        self._connections = Connections()
        self._server: asyncio.Server | None = None

    @property
    def journal(self) -> Journal:
        """What was asked and answered so far."""
        return self.application.journal

    @property
    def account(self) -> Account:
        """The workflows and their instances."""
        return self.application.account

    def instance(self, workflow: str, instance_id: str) -> Instance:
        """One instance as it is now. Raises Refused when there is none."""
        now_ms = self.application.now_ms()
        return self.account.workflow(workflow, now_ms).get(instance_id, now_ms)

    def fault(self, **fields: Any) -> None:  # noqa: ANN401  the fields of a fault
        """Make something go wrong from now on, as ``POST /emulator/faults`` does. Raises ValueError."""
        self._tell("POST", "faults", fields)

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        self._tell("DELETE", "faults", {})

    def advance(self, seconds: float) -> None:
        """Its clock jumps forward."""
        self._tell("POST", "clock", {"seconds": seconds})

    def _tell(self, method: str, path: str, body: Mapping[str, object]) -> None:
        reply = self.application.answer(
            method, f"/emulator/{path}", b"Bearer " + self.token.encode(), orjson.dumps(body)
        ).reply
        if reply.status != 200:  # noqa: PLR2004  HTTP's own number
            raise ValueError(orjson.loads(reply.body)["errors"][0]["message"])

    async def __aenter__(self) -> Self:
        """Listen. Connections are taken from now on. Raises OSError when the port is not free."""
        listener = _listen(self._settings.host, self._settings.port)
        host, port = listener.getsockname()[:2]
        self.base_url = f"http://{f'[{host}]' if ':' in host else host}:{port}{BASE_PATH}"
        answer, connections, speed = self.application.answer, self._connections, self._settings.speed
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(answer, connections, speed), sock=listener, backlog=BACKLOG
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening; the account and the journal stay readable."""
        if self._server is not None:
            self._server.close()
            await self._connections.close(STOP_SECONDS)
        self.application.close()


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
