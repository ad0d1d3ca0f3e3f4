"""Publishes dead letters to a RabbitMQ exchange."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from struct import error as StructError  # noqa: N812  a class, named like one
from typing import TYPE_CHECKING, Any

import aiormq
import structlog
from aiormq.exceptions import AMQPError, ChannelInvalidStateError, ChannelPreconditionFailed
from pamqp.header import ContentHeader

from bridge.dead_letters.letter import PREFIX, alone, ended, until_confirmed
from bridge.dead_letters.shortening import Kept, contents, tell
from bridge.errors import OutboxError
from bridge.sources.rabbitmq_connection import address, explain, ssl_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiormq.abc import AbstractChannel, AbstractConnection

    from bridge.dead_letters.letter import Letter
    from bridge.dead_letters.settings import RabbitDeadLetterSettings
    from bridge.dead_letters.shortening import Contents
    from bridge.message import HeaderValue, Message

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 5.0
NAME_CHARACTERS = 60  # of a header: AMQP has room for 255 bytes of UTF-8, the client for 128 characters
PERSISTENT = 2
CALENDAR_MS = 253_402_300_800_000  # where the year 9999 ends; whoever sends a message may give it any time
FRAME_BYTES = 8  # of a frame around what is in it
# Attributes of a message that was itself AMQP, which are properties of the letter too.
PASSED_ON = ("content_type", "content_encoding", "correlation_id", "reply_to", "app_id", "priority")
_FAILURES = (AMQPError, OSError, TimeoutError, RuntimeError, asyncio.InvalidStateError)


class RabbitDeadLetters:
    """A bridge.outbox.publisher.DeadLetterQueue: body and headers as they came, and headers that tell why."""

    def __init__(self, settings: RabbitDeadLetterSettings, cut: Callable[[int], None]) -> None:
        """cut: told how many letters went without some of their message, since it is too large for the broker."""
        self._settings = settings
        self._cut = cut
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    async def open(self) -> None:
        """Connect, and see that the exchange, or the queue behind the default one, is there. Raises OutboxError."""
        try:
            await alone(self._connect())
        except (*_FAILURES, ValueError) as error:
            await self.close()
            where = self._settings.exchange or f"queue {self._settings.routing_key}"
            raise OutboxError(f"dead letters cannot go to {where}: {explain(error)}") from error

    async def publish(self, letters: Sequence[Letter]) -> None:
        """Return once the broker has confirmed, and routed to a queue, every letter; tries until then.

        One that is too large for the broker goes in a shorter form, or in the end not at all: it would never be taken.
        """
        waiting, sizes = list(letters), _Sizes()

        async def attempt() -> None:
            while waiting:
                await self._send(waiting, sizes)

        await until_confirmed(waiting, attempt, self._connect, _FAILURES)

    async def close(self) -> None:
        """Let go of the broker."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await ended(connection.close(), CLOSE_SECONDS)

    async def _connect(self) -> None:
        await self.close()
        settings = self._settings
        url = address(settings)
        async with asyncio.timeout(settings.timeout_seconds):
            self._connection = await aiormq.connect(url, context=ssl_context(settings, url))
            self._channel = channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            if settings.exchange:
                await channel.exchange_declare(settings.exchange, passive=True)
            else:
                await channel.queue_declare(settings.routing_key, passive=True)

    async def _send(self, waiting: list[Letter], sizes: _Sizes) -> None:
        """Send those that have message ids of their own; take those that are confirmed out of the list.

        aiormq finds out by message id which message the broker returned as unroutable: two with one id at a time
        would be confused, and one of them taken for confirmed.
        """
        wave = list({letter.message.id: letter for letter in waiting}.values())
        if sizes.one_by_one:
            del wave[1:]
        sent = await asyncio.gather(*(self._send_one(letter, sizes) for letter in wave), return_exceptions=True)
        failures = [error for error in sent if error is not None]
        confirmed = {id(letter) for letter, error in zip(wave, sent, strict=True) if error is None}
        waiting[:] = [letter for letter in waiting if id(letter) not in confirmed]
        if failures:
            if any(isinstance(error, ChannelPreconditionFailed) for error in failures):
                sizes.refused(wave)
            raise failures[0]

    async def _send_one(self, letter: Letter, sizes: _Sizes) -> None:
        for kept in sizes.of(letter):
            made = contents(letter, kept)
            if not sizes.is_refused(letter):
                made = made._replace(body=letter.message.body)  # what is too large is the frame of the headers
            properties = _properties(letter.message, made)
            if len(ContentHeader(properties=properties).marshal()) <= self._room():
                await self._write(made.body or b"", properties)
                tell(letter, kept, self._cut)
                return
        tell(letter, None, self._cut)

    def _room(self) -> int:
        """Bytes that a message's properties may have: they go in one frame."""
        if self._connection is None:
            raise ChannelInvalidStateError("not connected")
        return int(self._connection.connection_tune.frame_max) - FRAME_BYTES

    async def _write(self, body: bytes, properties: aiormq.spec.Basic.Properties) -> None:
        if self._channel is None:
            raise ChannelInvalidStateError("not connected")
        await self._channel.basic_publish(
            body,
            exchange=self._settings.exchange,
            routing_key=self._settings.routing_key,
            properties=properties,
            mandatory=True,
            timeout=self._settings.timeout_seconds,
        )


class _Sizes:
    """What is known of the letters that the broker has refused for their size: it says so by closing the channel."""

    def __init__(self) -> None:
        self.one_by_one = False  # one of several was refused, and which one is not known
        self._least: dict[int, Kept | None] = {}  # by the letter's identity

    def of(self, letter: Letter) -> Sequence[Kept]:
        """In which forms it may still be taken."""
        least = self._least.get(id(letter), Kept.WHOLE)
        return [] if least is None else [kept for kept in Kept if kept >= least]

    def is_refused(self, letter: Letter) -> bool:
        """Whether it was."""
        return id(letter) in self._least

    def refused(self, letters: Sequence[Letter]) -> None:
        """One of these was."""
        if len(letters) > 1:
            self.one_by_one = True
            return
        (letter,) = letters
        shorter = [kept for kept in self.of(letter) if kept > Kept.ORIGINAL]  # headers are no part of that size
        tried = self._least.get(id(letter), Kept.WHOLE)
        self._least[id(letter)] = next((kept for kept in shorter if tried is not None and kept > tried), None)


def _properties(message: Message, made: Contents) -> aiormq.spec.Basic.Properties:
    """Those of a letter; a header that AMQP cannot say, such as an integer beyond 64 bits, must not keep it back."""
    told: dict[str, Any] = dict(made.told)
    if made.key is not None:
        told[f"{PREFIX}key"] = bytearray(made.key)
    if message.body is None:
        told[f"{PREFIX}tombstone"] = True
    found = _filled(message, _headers(made) | told)
    try:
        ContentHeader(properties=found).marshal()
    except (ValueError, TypeError, StructError) as error:
        log.warning("dead_letter_headers_as_text", message_id=message.id, reason=str(error))
        return _filled(message, {f"{PREFIX}headers": repr(list(made.headers))} | dict(made.told))
    return found


def _filled(message: Message, headers: dict[str, Any]) -> aiormq.spec.Basic.Properties:
    passed_on: dict[str, Any] = {name: message.attributes[name] for name in PASSED_ON if name in message.attributes}
    stamp = message.timestamp_ms
    if stamp is not None and not 0 <= stamp < CALENDAR_MS:
        stamp = None
    return aiormq.spec.Basic.Properties(
        delivery_mode=PERSISTENT,
        message_id=_short(message.id),
        timestamp=None if stamp is None else datetime.fromtimestamp(stamp / 1000, UTC),
        headers=headers,
        **passed_on,
    )


def _headers(made: Contents) -> dict[str, Any]:
    """The original headers; a name that repeats has a list."""
    headers: dict[str, Any] = {}
    for name, value in made.headers:
        encoded, key = _value(value), name[:NAME_CHARACTERS]
        if key not in headers:
            headers[key] = encoded
        elif isinstance(headers[key], list):
            headers[key].append(encoded)
        else:
            headers[key] = [headers[key], encoded]
    return headers


def _value(value: HeaderValue) -> Any:  # noqa: ANN401  whatever a table can hold
    return bytearray(value) if isinstance(value, bytes) else value


def _short(text: str) -> str:
    """At most the 255 bytes that a property has room for."""
    return text.encode()[:255].decode("utf-8", "ignore")
