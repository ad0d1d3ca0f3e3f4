"""FIRST HALF: source -> decode -> router -> outbox -> receipt -> ack."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge.errors import Undecodable
from bridge.outbox.base import DeadLetter, Intake
from bridge.routing.router import SKIP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.message import Message
    from bridge.metrics import Metrics
    from bridge.outbox.base import Outbox, Receipt
    from bridge.routing.router import Rejected, Router
    from bridge.sources.base import Batch, Source

log = structlog.get_logger(__name__)

TOO_OLD = "too_old"  # the reason under which messages past ``ignore_older_than`` are counted as dropped


class Translation(NamedTuple):
    """How one source's messages become calls."""

    decode: Callable[[bytes | None], object]  # raises Undecodable
    router: Router
    metrics: Metrics
    now_ms: Callable[[], int]  # Unix epoch
    ignore_older_than_ms: int | None = None  # by the message's own timestamp

    def translate(self, source: str, batch: Batch) -> Intake:
        """Decode and route a batch; what cannot be decoded or rendered is a dead letter, and stops nothing else."""
        now_ms = self.now_ms()
        values, undecodable = self._decode(batch.messages)
        dropped = self._skip_old(batch.messages, values, now_ms) if self.ignore_older_than_ms else 0
        routed = self.router.route(source, batch.messages, values, now_ms)
        dead = [
            *(DeadLetter(message, "undecodable", detail, died_ms=now_ms) for message, detail in undecodable),
            *(_dead_letter(rejected, now_ms) for rejected in routed.dead),
        ]
        metrics = self.metrics
        metrics.received(source, len(batch.messages), sum([len(m.body) for m in batch.messages if m.body]))
        drops = {**routed.dropped, TOO_OLD: dropped} if dropped else routed.dropped
        metrics.routed(source, routed.matched, routed.unmatched, drops, routed.errors)
        if dead:
            metrics.dead_lettered(Counter((letter.rule, letter.reason) for letter in dead))
            log.warning("messages_dead_lettered", source=source, count=len(dead), reason=dead[0].reason,
                        message_id=dead[0].message.id, detail=dead[0].detail)  # fmt: skip
        return Intake(source, routed.calls, dead, batch.positions, now_ms)

    def _decode(self, messages: Sequence[Message]) -> tuple[list[object], list[tuple[Message, str]]]:
        decode = self.decode
        values: list[object] = []
        undecodable: list[tuple[Message, str]] = []
        for message in messages:
            try:
                values.append(decode(message.body))
            except Undecodable as error:
                values.append(SKIP)
                undecodable.append((message, str(error)))
        return values, undecodable

    def _skip_old(self, messages: Sequence[Message], values: list[object], now_ms: int) -> int:
        """Mark messages past the limit as not to be routed; returns how many."""
        limit_ms = now_ms - (self.ignore_older_than_ms or 0)
        old = [
            index
            for index, message in enumerate(messages)
            if message.timestamp_ms is not None and message.timestamp_ms < limit_ms and values[index] is not SKIP
        ]
        for index in old:
            values[index] = SKIP
        return len(old)


def _dead_letter(rejected: Rejected, now_ms: int) -> DeadLetter:
    return DeadLetter(rejected.message, rejected.reason, rejected.detail, rejected.rule, rejected.call, died_ms=now_ms)


class Reader:
    """Reads one opened source into the outbox until it is stopped or the source is lost."""

    def __init__(self, source: Source, translation: Translation, outbox: Outbox) -> None:
        self._source = source
        self._translation = translation
        self._outbox = outbox
        self._unacknowledged = 0
        self._reading: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Raises SourceLost in an ExceptionGroup. Returns after ``stop``, when every receipt has resolved."""
        async with asyncio.TaskGroup() as tasks:
            self._reading = tasks.create_task(self._read(tasks))

    async def _read(self, acknowledgements: asyncio.TaskGroup) -> None:
        while True:
            batch = await self._source.receive()
            intake = self._translation.translate(self._source.name, batch)
            receipt = await self._outbox.add(intake)
            self._count(len(batch.messages))
            acknowledgements.create_task(self._acknowledge(batch, receipt))

    async def _acknowledge(self, batch: Batch, receipt: Receipt) -> None:
        try:
            await receipt.wait()
            await batch.ack()
        finally:
            self._count(-len(batch.messages))

    def _count(self, messages: int) -> None:
        self._unacknowledged += messages
        self._translation.metrics.unacknowledged(self._source.name, self._unacknowledged)

    def stop(self) -> None:
        """Fetch no more."""
        if self._reading is not None:
            self._reading.cancel()
