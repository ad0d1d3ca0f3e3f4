"""FIRST HALF: source -> decode -> router -> outbox -> receipt -> ack."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge.errors import SchemasUnavailable
from bridge.outbox.base import DeadLetter, Intake
from bridge.routing.router import SKIP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bridge.caution.caution import Caution
    from bridge.caution.suspects import Part
    from bridge.decoding import Decoder
    from bridge.message import Message
    from bridge.metrics import Metrics
    from bridge.outbox.base import Outbox, Receipt
    from bridge.routing.router import Rejected, Router
    from bridge.shadow import Shadow
    from bridge.sources.base import Batch, Source

log = structlog.get_logger(__name__)

FIRST_WAIT_SECONDS = 0.5  # for a schema registry that does not answer …
LONGEST_WAIT_SECONDS = 30.0  # … and at most, after some tries
TURN_MESSAGES = 250  # that are translated before the rest of the process has its turn …
TURN_BYTES = 256 * 1024  # … or so many bytes of bodies, of more than one message
TOO_OLD = "too_old"  # the reason under which messages past ``ignore_older_than`` are counted as dropped


class Translation(NamedTuple):
    """How one source's messages become calls."""

    decoder: Decoder
    router: Router
    metrics: Metrics
    now_ms: Callable[[], int]  # Unix epoch
    seconds: Callable[[], float]  # monotonic
    ignore_older_than_ms: int | None = None  # by the message's own timestamp
    config: str = ""  # digest of the configuration that all of this is from
    shadow: Shadow | None = None

    def translate(self, source: str, batch: Part | Batch) -> Intake:
        """Decode and route messages; what cannot be decoded or rendered is a dead letter, and stops nothing else.

        The decoder has been prepared for these messages.
        """
        now_ms, started = self.now_ms(), self.seconds()
        messages, values, failed = self.decoder.decode(batch.messages)
        for place in failed:
            values[place] = SKIP
        dropped = self._skip_old(messages, values, now_ms) if self.ignore_older_than_ms else 0
        routed = self.router.route(source, messages, values, now_ms)
        if self.shadow is not None:
            self.shadow.compare(source, messages, values, now_ms, routed)
        dead = [
            *(self._undecodable(messages[place], why, now_ms) for place, why in failed.items()),
            *(self._rejected(rejected, now_ms) for rejected in routed.dead),
        ]
        drops = {**routed.dropped, TOO_OLD: dropped} if dropped else routed.dropped
        self.metrics.translated(source, self.seconds() - started)
        self.metrics.routed(source, routed.matched, routed.unmatched, drops, routed.errors)
        return self._told(Intake(source, routed.calls, dead, batch.positions, now_ms), batch.messages)

    def bury(self, source: str, killer: Part) -> Intake:
        """A message that kills whoever looks into it: a dead letter, and nobody has looked into it."""
        now_ms = self.now_ms()
        detail = "the process died of it: several times on a batch with this message, then on this message alone"
        dead = [
            DeadLetter(message, "killed_the_process", detail, died_ms=now_ms, config=self.config)
            for message in killer.messages
        ]
        return self._told(Intake(source, (), dead, killer.positions, now_ms), killer.messages)

    def _told(self, intake: Intake, messages: Sequence[Message]) -> Intake:
        """The same, counted and logged."""
        source, _, dead, *_ = intake
        self.metrics.received(source, len(messages), sum([len(m.body) for m in messages if m.body]))
        if dead:
            self.metrics.dead_lettered(Counter((letter.rule, letter.reason) for letter in dead))
            log.warning("messages_dead_lettered", source=source, count=len(dead), reason=dead[0].reason,
                        message_id=dead[0].message.id, detail=dead[0].detail)  # fmt: skip
        return intake

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

    def _undecodable(self, message: Message, why: str, now_ms: int) -> DeadLetter:
        return DeadLetter(message, "undecodable", why, died_ms=now_ms, config=self.config)

    def _rejected(self, rejected: Rejected, now_ms: int) -> DeadLetter:
        message, reason, detail, rule, call = rejected
        return DeadLetter(message, reason, detail, rule, call, died_ms=now_ms, config=self.config)


def portions(part: Part) -> Iterator[Part]:
    """In pieces of at most ``TURN_MESSAGES`` and about ``TURN_BYTES``, each with the positions of the whole."""
    messages, first, size = part.messages, 0, 0
    for place, message in enumerate(messages):
        length = len(message.body or b"")
        if place > first and (place - first == TURN_MESSAGES or size + length > TURN_BYTES):
            yield part._replace(messages=messages[first:place])
            first, size = place, 0
        size += length
    yield part._replace(messages=messages[first:]) if first else part


def joined(made: Sequence[Intake]) -> Intake:
    """What the portions of one part became, as one."""
    if len(made) == 1:
        return made[0]
    calls = [call for intake in made for call in intake.calls]
    return made[0]._replace(calls=calls, dead=[letter for intake in made for letter in intake.dead])


class Current:
    """The translation in force for one source. A reload replaces it; the reader takes it once for each batch."""

    __slots__ = ("translation",)

    def __init__(self, translation: Translation) -> None:
        self.translation = translation


class Reader:
    """Reads one opened source into the outbox until it is stopped or the source is lost."""

    def __init__(
        self, source: Source, current: Current, outbox: Outbox, caution: Caution, random: Callable[[], float]
    ) -> None:
        """random: uniform in [0, 1)."""
        self._source = source
        self._current = current
        self._outbox = outbox
        self._caution = caution
        self._random = random
        self._unacknowledged = 0
        self.receiving = False  # waits for the source, and not for the outbox or anything else
        self._reading: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Raises SourceLost in an ExceptionGroup. Returns after ``stop``, when every receipt has resolved."""
        async with asyncio.TaskGroup() as tasks:
            self._reading = tasks.create_task(self._read(tasks))

    async def _read(self, acknowledgements: asyncio.TaskGroup) -> None:
        while True:
            self.receiving = True
            batch = await self._source.receive()
            self.receiving = False
            stored = [(part, await self._store(part)) for part in self._caution.parts(batch)]
            self._count(len(batch.messages))
            acknowledgements.create_task(self._acknowledge(batch, stored))

    async def _store(self, part: Part) -> Receipt:
        """Waits while the outbox has no room: the broker keeps what comes after it."""
        intake = self._bury(part) if part.kills else await self._translate(part)
        metrics, name = self._current.translation.metrics, self._source.name
        metrics.held_up(name, on=True)
        try:
            receipt = await self._outbox.add(intake)
        finally:
            metrics.held_up(name, on=False)
        self._caution.through(part)
        return receipt

    def _bury(self, killer: Part) -> Intake:
        return self._current.translation.bury(self._source.name, killer)

    async def _translate(self, part: Part) -> Intake:
        """Wait for what decoding needs, for as long as it takes; the broker keeps its messages meanwhile."""
        waits = 0
        try:
            while True:
                translation = self._current.translation  # the newest one, however long this one was waited for
                try:
                    await translation.decoder.prepare(part.messages)
                except SchemasUnavailable as unavailable:
                    waits += 1
                    await self._wait(unavailable, waits)
                else:
                    return await self._in_turns(translation, part)
        finally:
            if waits:
                log.info("schemas_awaited", source=self._source.name, tries=waits)
                self._current.translation.metrics.waiting(self._source.name, on=False)

    async def _in_turns(self, translation: Translation, part: Part) -> Intake:
        """Translate portion by portion: a large batch keeps neither other sources nor dispatch from their work."""
        made: list[Intake] = []
        for portion in portions(part):
            if made:
                await asyncio.sleep(0)
            with self._caution.at_work(portion):
                made.append(translation.translate(self._source.name, portion))
        return joined(made)

    async def _wait(self, why: SchemasUnavailable, waits: int) -> None:
        seconds = min(FIRST_WAIT_SECONDS * 2 ** (waits - 1), LONGEST_WAIT_SECONDS) * (0.5 + self._random() / 2)
        log.warning("schemas_unavailable", source=self._source.name, reason=str(why), again_in=round(seconds, 1))
        metrics = self._current.translation.metrics
        metrics.waiting(self._source.name, on=True)
        metrics.registry_failed(self._source.name, why.reason)
        await asyncio.sleep(seconds)

    async def _acknowledge(self, batch: Batch, stored: Sequence[tuple[Part, Receipt]]) -> None:
        try:
            for part, receipt in stored:
                await receipt.wait()
                self._caution.safe(part)
            await batch.ack()
        finally:
            self._count(-len(batch.messages))

    def _count(self, messages: int) -> None:
        self._unacknowledged += messages
        self._current.translation.metrics.unacknowledged(self._source.name, self._unacknowledged)

    def stop(self) -> None:
        """Fetch no more."""
        if self._reading is not None:
            self._reading.cancel()
