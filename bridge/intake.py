"""FIRST HALF: source -> decode -> router -> outbox -> receipt -> ack."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge.admission import EVERYTHING, TOO_OLD, Admission
from bridge.caution.suspects import piece_of
from bridge.errors import SchemasUnavailable
from bridge.outbox.base import DeadLetter, Dropped, Intake
from bridge.outbox.partitions import without
from bridge.routing.router import SKIP
from bridge.tracing.spans import Taken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from bridge.caution.caution import Caution
    from bridge.caution.suspects import Part
    from bridge.decoding import Decoder
    from bridge.message import Message
    from bridge.metrics import Metrics
    from bridge.outbox.base import Outbox, Receipt
    from bridge.routing.router import Rejected, Router
    from bridge.shadow import Shadow
    from bridge.sources.base import Batch, Source
    from bridge.tracing.tracer import Tracer

log = structlog.get_logger(__name__)

FIRST_WAIT_SECONDS = 0.5  # for a schema registry that does not answer …
LONGEST_WAIT_SECONDS = 30.0  # … and at most, after some tries
TURN_MESSAGES = 250  # that are translated before the rest of the process has its turn …
TURN_BYTES = 256 * 1024  # … or so many bytes of bodies, of more than one message …
LIST_BYTES = 16 * 1024  # … of one whose elements may each be given all of it: what they become grows by the square
STORED_CALLS = 100_000  # that a batch may have become before they are stored, and what follows is translated …
STORED_BYTES = 64 * 1024 * 1024  # … or so many bytes of them: elements of lists may make a thousand times the batch


class Translation(NamedTuple):
    """How one source's messages become calls."""

    decoder: Decoder
    router: Router
    metrics: Metrics
    now_ms: Callable[[], int]  # Unix epoch
    seconds: Callable[[], float]  # monotonic
    admission: Admission = EVERYTHING
    config: str = ""  # digest of the configuration that all of this is from
    shadow: Shadow | None = None
    tracer: Tracer | None = None

    def translate(self, source: str, batch: Part | Batch) -> Intake:
        """Decode and route messages; what is too large or cannot be decoded or rendered is a dead letter alone.

        The decoder has been prepared for these messages.
        """
        now_ms, started = self.now_ms(), self.seconds()
        size = sum([len(message.body) for message in batch.messages if message.body])
        fit, large = self.admission.sized(batch.messages, size)
        messages, values, failed = self.decoder.decode(fit)
        for place in failed:
            values[place] = SKIP
        old = self.admission.skip_old(messages, values, now_ms)
        routed = self.router.route(source, messages, values, now_ms)
        if self.shadow is not None:
            self.shadow.compare(source, messages, values, now_ms, routed)
        dead = [
            *(self._undecodable(messages[place], why, now_ms) for place, why in failed.items()),
            *(self._rejected(rejected, now_ms) for rejected in (*large, *routed.dead)),
        ]
        drops = {**routed.dropped, TOO_OLD: len(old)} if old else routed.dropped
        if self.tracer is not None:
            died = [(letter.message, letter.reason) for letter in dead]
            self.tracer.taken(Taken(messages, routed.calls, died, now_ms, self.now_ms()))
        self.metrics.translated(source, self.seconds() - started)
        self.metrics.routed(source, routed.matched, routed.unmatched, drops, routed.errors)
        gone = [Dropped(message, reason, self.config) for message, reason in routed.silent if reason]
        return self._told(Intake(source, routed.calls, dead, batch.positions, now_ms, gone), len(batch.messages), size)

    def bury(self, source: str, killer: Part) -> Intake:
        """A message that kills whoever looks into it: a dead letter, and nobody has looked into it."""
        now_ms = self.now_ms()
        detail = "the process died of it: several times on a batch with this message, then on this message alone"
        dead = [
            DeadLetter(message, "killed_the_process", detail, died_ms=now_ms, config=self.config)
            for message in killer.messages
        ]
        size = sum(len(message.body or b"") for message in killer.messages)
        return self._told(Intake(source, (), dead, killer.positions, now_ms), len(killer.messages), size)

    def _told(self, intake: Intake, messages: int, size: int) -> Intake:
        """The same, counted and logged. size: bytes of bodies."""
        source, _, dead, *_ = intake
        self.metrics.received(source, messages, size)
        if dead:
            self.metrics.dead_lettered(Counter((letter.rule, letter.reason) for letter in dead))
            log.warning("messages_dead_lettered", source=source, count=len(dead), reason=dead[0].reason,
                        message_id=dead[0].message.id, detail=dead[0].detail)  # fmt: skip
        return intake

    def _undecodable(self, message: Message, why: str, now_ms: int) -> DeadLetter:
        return DeadLetter(message, "undecodable", why, died_ms=now_ms, config=self.config)

    def _rejected(self, rejected: Rejected, now_ms: int) -> DeadLetter:
        message, reason, detail, rule, call = rejected
        return DeadLetter(message, reason, detail, rule, call, died_ms=now_ms, config=self.config)


def portions(part: Part, most_bytes: int = TURN_BYTES) -> Iterator[Part]:
    """In pieces of at most ``TURN_MESSAGES`` and ``most_bytes``, or one message; each with positions of the whole."""
    messages, first, size = part.messages, 0, 0
    for place, message in enumerate(messages):
        length = len(message.body or b"")
        if place > first and (place - first == TURN_MESSAGES or size + length > most_bytes):
            yield part._replace(messages=messages[first:place])
            first, size = place, 0
        size += length
    yield part._replace(messages=messages[first:]) if first else part


def joined(made: Sequence[Intake]) -> Intake:
    """What the portions of one part became, as one."""
    if len(made) == 1:
        return made[0]
    return made[0]._replace(
        calls=[call for intake in made for call in intake.calls],
        dead=[letter for intake in made for letter in intake.dead],
        dropped=[drop for intake in made for drop in intake.dropped],
    )


class _Stored(NamedTuple):
    """What the outbox was given of one part."""

    part: Part
    receipt: Receipt
    whole: bool  # nothing of it was given back


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
        self.waits_for = ""  # what decoding lacks, in words; "": nothing
        self._reading: asyncio.Task[None] | None = None
        self._stopped = False

    async def run(self) -> None:
        """Raises SourceLost in an ExceptionGroup. Returns after ``stop``, when every receipt has resolved."""
        if self._stopped:
            return
        async with asyncio.TaskGroup() as tasks:
            self._reading = tasks.create_task(self._read(tasks))

    async def _read(self, acknowledgements: asyncio.TaskGroup) -> None:
        while True:
            self.receiving = True
            batch = await self._source.receive()
            self.receiving = False
            stored = [some for part in self._caution.parts(batch) async for some in self._store(part)]
            self._count(len(batch.messages))
            acknowledgements.create_task(self._acknowledge(batch, stored))

    async def _store(self, part: Part) -> AsyncIterator[_Stored]:
        """Waits while the outbox has no room: the broker keeps what comes after it."""
        if part.kills:
            yield await self._add(part, self._current.translation.bury(self._source.name, part))
            return
        translation = await self._prepared(part)
        if translation is None:
            yield await self._add(part, Intake(self._source.name, (), (), {}, self._current.translation.now_ms()))
            return
        async for piece, made in self._in_turns(translation, part):
            yield await self._add(piece, made)

    async def _add(self, part: Part, made: Intake) -> _Stored:
        metrics, name = self._current.translation.metrics, self._source.name
        metrics.held_up(name, on=True)
        try:
            ours = self._ours(made)
            receipt = await self._outbox.add(ours)
        finally:
            metrics.held_up(name, on=False)
        self._caution.through(part)
        return _Stored(part, receipt, ours.positions.keys() == part.positions.keys())

    def _ours(self, intake: Intake) -> Intake:
        """Without what was taken away while it was decoded: whoever has those partitions now is given it.

        That may be this source again, which then reads on where the outbox knows to have been.
        """
        gone = intake.positions.keys() - set(self._source.assigned)
        if not gone:
            return intake
        log.info("messages_given_back", source=self._source.name, partitions=sorted(gone))
        return without(intake, gone)

    async def _prepared(self, part: Part) -> Translation | None:
        """Wait for what decoding needs, for as long as it takes; the broker keeps its messages meanwhile.

        None: all of its partitions were taken away meanwhile.
        """
        waits = 0
        try:
            while True:
                translation = self._current.translation  # the newest one, however long this one was waited for
                try:
                    await translation.decoder.prepare(part.messages)
                except SchemasUnavailable as unavailable:
                    waits += 1
                    await self._wait(unavailable, waits)
                    if part.positions and part.positions.keys().isdisjoint(self._source.assigned):
                        return None
                else:
                    return translation
        finally:
            if waits:
                self.waits_for = ""
                log.info("schemas_awaited", source=self._source.name, tries=waits)
                self._current.translation.metrics.waiting(self._source.name, on=False)

    async def _in_turns(self, translation: Translation, part: Part) -> AsyncIterator[tuple[Part, Intake]]:
        """Translate portion by portion: a large batch keeps neither other sources nor dispatch from their work.

        Gives all of it at once, or in pieces where it becomes very many calls, each with positions of its own.
        """
        made: list[Intake] = []
        first = end = calls = size = 0
        most_bytes = LIST_BYTES if translation.router.multiplies(self._source.name) else TURN_BYTES
        for portion in portions(part, most_bytes):
            if calls >= STORED_CALLS or size >= STORED_BYTES:
                piece = piece_of(part, first, end)
                yield piece, joined(made)._replace(positions=piece.positions)
                made, first, calls, size = [], end, 0, 0
            if end:
                await asyncio.sleep(0)
            with self._caution.at_work(portion):
                made.append(translation.translate(self._source.name, portion))
            end += len(portion.messages)
            calls += len(made[-1].calls) + len(made[-1].dead)
            size += sum([len(call.body) for _, call in made[-1].calls])
        last = piece_of(part, first, end)
        yield last, joined(made)._replace(positions=last.positions)

    async def _wait(self, why: SchemasUnavailable, waits: int) -> None:
        seconds = min(FIRST_WAIT_SECONDS * 2 ** (waits - 1), LONGEST_WAIT_SECONDS) * (0.5 + self._random() / 2)
        self.waits_for = str(why)
        log.warning("schemas_unavailable", source=self._source.name, reason=self.waits_for, again_in=round(seconds, 1))
        metrics = self._current.translation.metrics
        metrics.waiting(self._source.name, on=True)
        metrics.registry_failed(self._source.name, why.reason)
        await asyncio.sleep(seconds)

    async def _acknowledge(self, batch: Batch, stored: Sequence[_Stored]) -> None:
        try:
            for part, receipt, _ in stored:
                await receipt.wait()
                self._caution.safe(part)
            if all(part.whole for part in stored):  # else the broker would take for done what was given back
                await batch.ack()
        finally:
            self._count(-len(batch.messages))

    def _count(self, messages: int) -> None:
        self._unacknowledged += messages
        self._current.translation.metrics.unacknowledged(self._source.name, self._unacknowledged)

    def stop(self) -> None:
        """Fetch no more; also before ``run`` has had its first turn."""
        self._stopped = True
        if self._reading is not None:
            self._reading.cancel()
