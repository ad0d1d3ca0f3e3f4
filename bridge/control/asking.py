"""A command's end: has a request answered by the running bridge, or by itself where the outbox is nobody's."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Protocol, Self

import orjson

from bridge.control.answering import answer
from bridge.control.place import MAX_LINE_BYTES, connected
from bridge.errors import OperationRefused

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from bridge.control.operator import Operator

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 60.0  # what is asked for waits for the disk, and a message for its schema registry


class Asked(Protocol):
    """Who answers."""

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer. Raises OperationRefused where it is an error, or none comes."""


class Running:
    """A bridge that runs, over its socket."""

    def __init__(self, connection: socket.socket, seconds: float = ANSWER_SECONDS) -> None:
        self._connection = connection
        connection.settimeout(seconds)
        self._lines = connection.makefile("rb")

    @classmethod
    def at(cls, name: str, seconds: float = ANSWER_SECONDS) -> Self | None:
        """seconds: how long an answer may take. None: nobody listens there."""
        try:
            return cls(connected(name, CONNECT_SECONDS), seconds)
        except OSError:
            return None

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """See Asked."""
        try:
            self._connection.sendall(orjson.dumps(request) + b"\n")
            line = self._lines.readline(MAX_LINE_BYTES)
        except OSError as error:
            raise OperationRefused(f"the running bridge does not answer: {error}") from error
        if not line:
            raise OperationRefused(
                "the running bridge hung up: it stops now, or runs as another user; use its user, or root"
            )
        return checked(orjson.loads(line))

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._lines.close()
            self._connection.close()


class Stopped:
    """The file of a bridge that does not run, in this process's hands until it is closed."""

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[Operator]]) -> None:
        """opened: raises OutboxError, OutboxLocked where a bridge runs all the same."""
        self._runner = asyncio.Runner()
        self._life = _living(opened)
        try:
            self._operator: Operator = self._runner.run(anext(self._life))
        except BaseException:
            self._runner.close()
            raise

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """See Asked."""
        return checked(self._runner.run(answer(self._operator, request)))

    def close(self) -> None:
        """Let the next one have the file."""
        self._runner.run(self._life.aclose())
        self._runner.close()


async def _living(opened: Callable[[], AbstractAsyncContextManager[Operator]]) -> AsyncGenerator[Operator, None]:
    async with opened() as operator:
        yield operator


def checked(answered: dict[str, Any]) -> dict[str, Any]:
    """The same. Raises OperationRefused where it is an error."""
    if "error" in answered:
        raise OperationRefused(answered["error"])
    return answered
