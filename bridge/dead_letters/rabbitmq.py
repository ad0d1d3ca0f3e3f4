"""Publishes dead letters to a RabbitMQ exchange."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiormq
import structlog
from aiormq.exceptions import AMQPError, ChannelInvalidStateError

from bridge.dead_letters.letter import PREFIX, describe, until_confirmed
from bridge.errors import OutboxError
from bridge.sources.rabbitmq_connection import address, explain, ssl_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiormq.abc import AbstractChannel, AbstractConnection

    from bridge.dead_letters.letter import Letter
    from bridge.dead_letters.settings import RabbitDeadLetterSettings
    from bridge.message import HeaderValue, Message

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 5.0
NAME_CHARACTERS = 60  # of a header: AMQP has room for 255 bytes of UTF-8, the client for 128 characters
PERSISTENT = 2
# Attributes of a message that was itself AMQP, which are properties of the letter too.
PASSED_ON = ("content_type", "content_encoding", "correlation_id", "reply_to", "app_id", "priority")
_FAILURES = (AMQPError, OSError, TimeoutError, RuntimeError, asyncio.InvalidStateError)


class RabbitDeadLetters:
    """A bridge.outbox.base.DeadLetterQueue: body and headers as they came, and headers that tell why."""

    def __init__(self, settings: RabbitDeadLetterSettings) -> None:
        self._settings = settings
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    async def open(self) -> None:
        """Connect, and see that the exchange, or the queue behind the default one, is there. Raises OutboxError."""
        try:
            await self._connect()
        except (*_FAILURES, ValueError) as error:
            await self.close()
            where = self._settings.exchange or f"queue {self._settings.routing_key}"
            raise OutboxError(f"dead letters cannot go to {where}: {explain(error)}") from error

    async def publish(self, letters: Sequence[Letter]) -> None:
        """Return once the broker has confirmed, and routed to a queue, every letter; tries until then."""
        waiting = list(letters)

        async def attempt() -> None:
            while waiting:
                await self._send(waiting)

        await until_confirmed(attempt, self._connect, _FAILURES)

    async def close(self) -> None:
        """Let go of the broker."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await connection.close()

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

    async def _send(self, waiting: list[Letter]) -> None:
        """Send those that have message ids of their own; take those that are confirmed out of the list.

        aiormq finds out by message id which message the broker returned as unroutable: two with one id at a time
        would be confused, and one of them taken for confirmed.
        """
        wave = list({letter.message.id: letter for letter in waiting}.values())
        sent = await asyncio.gather(*map(self._send_one, wave), return_exceptions=True)
        failures = [error for error in sent if error is not None]
        confirmed = {id(letter) for letter, error in zip(wave, sent, strict=True) if error is None}
        waiting[:] = [letter for letter in waiting if id(letter) not in confirmed]
        if failures:
            raise failures[0]

    async def _send_one(self, letter: Letter) -> None:
        try:
            await self._write(letter, _headers(letter.message))
        except (ValueError, TypeError) as error:
            # A header that AMQP cannot say, such as an integer beyond 64 bits, must not keep the letter back.
            log.warning("dead_letter_headers_as_text", message_id=letter.message.id, reason=str(error))
            await self._write(letter, {f"{PREFIX}headers": repr(list(letter.message.headers))})

    async def _write(self, letter: Letter, headers: dict[str, Any]) -> None:
        if self._channel is None:
            raise ChannelInvalidStateError("not connected")
        await self._channel.basic_publish(
            letter.message.body or b"",
            exchange=self._settings.exchange,
            routing_key=self._settings.routing_key,
            properties=_properties(letter, headers),
            mandatory=True,
            timeout=self._settings.timeout_seconds,
        )


def _properties(letter: Letter, headers: dict[str, Any]) -> aiormq.spec.Basic.Properties:
    message = letter.message
    passed_on: dict[str, Any] = {name: message.attributes[name] for name in PASSED_ON if name in message.attributes}
    stamp = message.timestamp_ms
    return aiormq.spec.Basic.Properties(
        delivery_mode=PERSISTENT,
        message_id=_short(message.id),
        timestamp=None if stamp is None else datetime.fromtimestamp(stamp / 1000, UTC),
        headers=headers | dict(describe(letter)),
        **passed_on,
    )


def _headers(message: Message) -> dict[str, Any]:
    """The original headers; a name that repeats has a list. What AMQP has no place for gets a header of its own."""
    headers: dict[str, Any] = {}
    for name, value in message.headers:
        encoded, key = _value(value), name[:NAME_CHARACTERS]
        if key not in headers:
            headers[key] = encoded
        elif isinstance(headers[key], list):
            headers[key].append(encoded)
        else:
            headers[key] = [headers[key], encoded]
    if message.key is not None:
        headers[f"{PREFIX}key"] = bytearray(message.key)
    if message.body is None:
        headers[f"{PREFIX}tombstone"] = True
    return headers


def _value(value: HeaderValue) -> Any:  # noqa: ANN401  whatever a table can hold
    return bytearray(value) if isinstance(value, bytes) else value


def _short(text: str) -> str:
    """At most the 255 bytes that a property has room for."""
    return text.encode()[:255].decode("utf-8", "ignore")
