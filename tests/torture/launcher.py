"""``workflow-bridge run`` with its sources, outbox and transport wrapped where they are put together.

The wrappers count on a board what is under way, let the process kill itself at a named step, and plant the bugs that
the harness has to find. The bridge knows nothing of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson

from bridge import parts
from bridge.app import App, Times
from bridge.cli import main
from bridge.cloudflare.transport import Answer, open_transport
from bridge.commands import run as command
from bridge.errors import ApiUnknown
from bridge.outbox.memory import MemoryOutbox
from bridge.outbox.sqlite import SqliteOutbox
from bridge.sources.registry import make_source
from tests.dispatch.fast_loop import Pace, run_fast
from tests.torture.board import STEPS, Board, Cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import BaseModel

    from bridge.cloudflare.settings import TargetSettings
    from bridge.cloudflare.transport import Transport
    from bridge.config import Config
    from bridge.message import Message, Position, Positions
    from bridge.outbox.base import Entry, Intake, Receipt, Settlement
    from bridge.reload.reloader import Watched
    from bridge.sources.base import Batch, Source

ACK_FIRST, NO_POSITIONS, UNKNOWN_FAILS = SABOTAGE = ("ack-first", "no-positions", "unknown-fails")
TROUBLE = 500  # HTTP statuses from here on, and 408, leave open whether anything was done
REFUSAL = orjson.dumps({"success": False, "result": None, "errors": [{"code": 10002, "message": "sabotage"}]})
board = Board(Path(os.environ["TORTURE_BOARD"]))
planted = os.environ.get("SABOTAGE", "")


def step(name: str) -> None:
    """Die here, where the harness wants it: nothing after this line happens."""
    if STEPS[board[Cell.ARMED]] != name:
        return
    if board[Cell.PASSES] > 0:
        board.add(Cell.PASSES, -1)
        return
    board[Cell.STRUCK], board[Cell.ARMED] = board[Cell.ARMED], 0
    os.kill(os.getpid(), signal.SIGKILL)


class CountedBatch:
    """A batch whose acknowledgement is seen."""

    def __init__(self, inner: Batch) -> None:
        self.messages: Sequence[Message] = inner.messages
        self.positions: Mapping[str, Position] = inner.positions
        self._inner = inner

    async def ack(self) -> None:
        step("before_ack")
        if planted != ACK_FIRST:
            await self._inner.ack()
        board.add(Cell.UNACKNOWLEDGED, -len(self.messages))
        step("after_ack")


class CountedSource:
    """A source whose batches are counted."""

    def __init__(self, inner: Source) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def receive(self) -> CountedBatch:
        batch = await self._inner.receive()
        board.add(Cell.UNACKNOWLEDGED, len(batch.messages))
        if planted == ACK_FIRST:
            await batch.ack()
            await asyncio.sleep(0.01)  # it is on its way to the broker, as it would be while a transaction is written
        step("after_fetch")
        return CountedBatch(batch)

    async def close(self) -> None:
        board.add(Cell.RETURNED, board[Cell.UNACKNOWLEDGED])
        await self._inner.close()


class CountedReceipt:
    """A receipt whose resolution is seen."""

    def __init__(self, inner: Receipt) -> None:
        self._inner = inner

    async def wait(self) -> None:
        await self._inner.wait()
        step("after_transaction")


def _count(entries: Iterable[Entry], sign: int) -> None:
    for entry in entries:
        board.add(Cell.EVENTS if entry.operation == "event" else Cell.CREATES, sign)


class Counted:
    """What both outboxes have in common; comes before either."""

    async def open(self) -> None:
        step("start_up")
        await super().open()  # type: ignore[misc]  # the outbox that this is mixed with, as below

    async def close(self) -> None:
        step("stop")
        await super().close()  # type: ignore[misc]

    async def add(self, intake: Intake) -> CountedReceipt:
        if planted == NO_POSITIONS:
            intake = intake._replace(positions={})
        return CountedReceipt(await super().add(intake))  # type: ignore[misc]

    def begin(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        held: Sequence[Entry] = super().begin(entries)  # type: ignore[misc]
        _count(held, 1)
        return held

    def back(self, entries: Sequence[Entry]) -> None:
        _count(entries, -1)
        super().back(entries)  # type: ignore[misc]

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        step("before_settle")
        await super().settle(settlements)  # type: ignore[misc]
        _count((settlement.entry for settlement in settlements), -1)

    async def withdraw(self, source: str, partitions: Iterable[str]) -> None:
        board.add(Cell.RETURNED, board[Cell.UNACKNOWLEDGED])
        await super().withdraw(source, partitions)  # type: ignore[misc]


class CountedSqlite(Counted, SqliteOutbox):
    """See Counted."""


class CountedMemory(Counted, MemoryOutbox):
    """See Counted."""


class CountedTransport:
    """A transport whose requests are seen, and counted where their outcome stays unknown."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        step("before_request")
        try:
            answer = await self._inner.send(method, url, headers, body, timeout_seconds)
        except ApiUnknown:
            _unknown(method, url, body)
            if planted == UNKNOWN_FAILS:
                return Answer(400, {"content-type": "application/json"}, REFUSAL)
            raise
        if answer.status >= TROUBLE or answer.status == 408 or not answer.body.startswith(b"{"):
            _unknown(method, url, body)
        step("after_answer")
        return answer

    async def close(self) -> None:
        await self._inner.close()


def _unknown(method: str, url: str, body: bytes | None) -> None:
    if "/events/" in url:
        board.add(Cell.UNKNOWN_EVENTS, 1)
    elif method == "POST":
        board.add(Cell.UNKNOWN_CREATES, len(orjson.loads(body or b"[]")) if url.endswith("/batch") else 1)
    else:
        board.add(Cell.UNKNOWN_OTHERS, 1)


def _source(kind: str, name: str, settings: BaseModel, positions: Positions) -> CountedSource:
    return CountedSource(make_source(kind, name, settings, positions))


def _transport(settings: TargetSettings) -> CountedTransport:
    return CountedTransport(open_transport(settings))


def wrap() -> None:
    """Put the wrappers where the composition root finds them."""
    for cell in (Cell.EVENTS, Cell.CREATES, Cell.UNACKNOWLEDGED):
        board[cell] = 0
    changed: Any = parts
    changed.make_source, changed.open_transport = _source, _transport
    changed.SqliteOutbox, changed.MemoryOutbox = CountedSqlite, CountedMemory


def hurry(speed: float) -> None:
    """Let the whole process go by a time that runs faster."""
    pace = Pace(speed)

    async def in_haste(settings: Config, watched: Watched) -> None:
        await App(settings, watched, Times(pace.now_ms, pace.seconds)).run()

    changed: Any = command
    changed._run, changed.uvloop = in_haste, SimpleNamespace(run=lambda main: run_fast(main, pace))


if __name__ == "__main__":
    wrap()
    if "SPEED" in os.environ:
        hurry(float(os.environ["SPEED"]))
    main()
