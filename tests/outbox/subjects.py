"""What the tests of the outboxes share: a clock, messages and calls, and the outboxes themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from bridge.call import Call, Operation, Policy
from bridge.message import Message, Position
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.base import DeadLetter, Entry, Intake, Outbox, Queue, Settlement, Verdict
from bridge.outbox.memory import MemoryOutbox
from bridge.outbox.settings import MemorySettings, SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from bridge.message import HeaderValue

T = TypeVar("T")

START_MS = 1_700_000_000_000
LIMIT_SECONDS = 60.0
POLICY = Policy("order-created").encode()
ORDERS = Queue("main", "fulfil-order")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class DeadLetters:
    """A DeadLetterQueue in memory that confirms while ``open_gate`` is set."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.confirmed = asyncio.Event()

    async def open(self) -> None:
        pass

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        await self.gate.wait()
        self.letters += letters
        self.confirmed.set()

    async def close(self) -> None:
        pass


class Subject:
    """One implementation under test. durable: what is stored survives ``reopen``."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.durable = kind == "sqlite"
        self.clock = Clock()
        self.path = folder / "state" / "outbox.db"
        self.published = DeadLetters()
        self.outbox: Outbox = self.make()

    def make(self, **settings: Any) -> Any:
        if self.durable:
            return SqliteOutbox(SqliteSettings(path=self.path, **settings), clock=self.clock)
        return MemoryOutbox(MemorySettings(**settings), self.published, clock=self.clock)

    async def reopen(self, **settings: Any) -> None:
        await self.outbox.close()
        self.outbox = self.make(**settings)
        await self.outbox.open()

    def dead_letters(self) -> list[DeadLetter]:
        if self.durable:
            return [stored.letter for stored in SqliteOutboxAdmin(self.path).dead_letters(limit=10_000)]
        return self.published.letters

    async def store(self, *calls: tuple[Message, Call], **intake: Any) -> None:
        """Add, and wait until the calls are there."""
        receipt = await self.outbox.add(intake_of(*calls, **intake))
        if self.durable:
            await soon(receipt.wait())

    async def pending(self, queue: Queue = ORDERS, after: int = 0, limit: int = 1_000) -> list[Entry]:
        return list(await soon(self.outbox.pending(queue, after, limit)))

    async def due(self, limit: int = 1_000) -> list[Entry]:
        return list(await soon(self.outbox.due(self.clock.now_ms, limit)))

    async def settle(self, verdict: Verdict, *entries: Entry, **more: Any) -> None:
        more.setdefault("settled_ms", self.clock.now_ms)
        await soon(self.outbox.settle([Settlement(entry, verdict, **more) for entry in entries]))


async def soon(awaitable: Awaitable[T]) -> T:
    """A hanging outbox is a failure, not a hanging test."""
    async with asyncio.timeout(LIMIT_SECONDS):
        return await awaitable


def message(
    number: int,
    body: bytes | None = b'{"order_id": 1}',
    headers: Sequence[tuple[str, HeaderValue]] = (),
    **changes: Any,
) -> Message:
    whole = Message(
        source="orders",
        id=f"shop.orders/0/{number}",
        channel="shop.orders",
        key=b"key-%d" % number,
        headers=tuple(headers),
        body=body,
        timestamp_ms=START_MS - 1_000 + number,
        attributes={"partition": 0, "offset": number},
    )
    return whole._replace(**changes)


def call(instance_id: str, operation: Operation = Operation.CREATE, **changes: Any) -> Call:
    event_type = "paid" if operation is Operation.EVENT else ""
    whole = Call(
        operation, "main", "fulfil-order", instance_id, event_type, b'{"id":"%s"}' % instance_id.encode(), POLICY
    )
    return whole._replace(**changes)


def create(number: int, instance_id: str, **changes: Any) -> tuple[Message, Call]:
    return message(number), call(instance_id, **changes)


def event(number: int, instance_id: str, **changes: Any) -> tuple[Message, Call]:
    return message(number), call(instance_id, Operation.EVENT, **changes)


def intake_of(
    *calls: tuple[Message, Call],
    dead: Sequence[DeadLetter] = (),
    positions: Mapping[str, Position] | None = None,
    source: str = "orders",
) -> Intake:
    return Intake(source, calls, dead, {} if positions is None else positions, START_MS)


def ids(entries: Sequence[Entry]) -> list[str]:
    """Message ids' last part: the number a test gave."""
    return [entry.message_id.rpartition("/")[2] for entry in entries]
