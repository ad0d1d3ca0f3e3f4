"""Publishes dead letters to a Kafka topic."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError, RecordTooLargeError

from bridge.dead_letters.letter import PREFIX, describe, until_confirmed
from bridge.errors import OutboxError
from bridge.sources.kafka_connection import client_options, diagnose, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.dead_letters.letter import Letter
    from bridge.dead_letters.settings import KafkaDeadLetterSettings

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 5.0
ESSENTIAL = {PREFIX + name for name in ("reason", "rule", "source", "message-id", "attempts")}
_FAILURES = (KafkaError, OSError, TimeoutError)
_TOO_LARGE = (MessageSizeTooLargeError, RecordTooLargeError)


class KafkaDeadLetters:
    """A bridge.outbox.base.DeadLetterQueue: key, headers and body as they came, and headers that tell why."""

    def __init__(self, settings: KafkaDeadLetterSettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Connect, and see that the topic is there. Raises OutboxError."""
        try:
            await self._connect()
        except _FAILURES as error:
            await self.close()
            reason = await diagnose(self._settings) if isinstance(error, KafkaConnectionError) else explain(error)
            raise OutboxError(f"dead letters cannot go to topic {self._settings.topic}: {reason}") from error

    async def publish(self, letters: Sequence[Letter]) -> None:
        """Return once every letter is written by all in-sync replicas; tries until then."""
        waiting = list(letters)

        async def attempt() -> None:
            while waiting:
                await self._send(waiting)

        await until_confirmed(attempt, self._connect, _FAILURES)

    async def close(self) -> None:
        """Let go of the broker."""
        producer, self._producer = self._producer, None
        if producer is not None:
            stopping = asyncio.create_task(producer.stop())
            await asyncio.wait({stopping}, timeout=CLOSE_SECONDS)
            stopping.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await producer.client.close()

    async def _connect(self) -> None:
        await self.close()
        self._producer = AIOKafkaProducer(
            **client_options(self._settings),
            acks="all",
            enable_idempotence=True,
            max_request_size=self._settings.max_message_bytes,
        )
        async with asyncio.timeout(self._settings.request_timeout_seconds):
            await self._producer.start()
            await self._producer.partitions_for(self._settings.topic)

    async def _send(self, waiting: list[Letter]) -> None:
        """Send all and take those that are confirmed out of the list."""
        if self._producer is None:
            raise KafkaConnectionError("not connected")
        sent = await asyncio.gather(*(self._send_one(letter) for letter in waiting), return_exceptions=True)
        failed = [(letter, error) for letter, error in zip(waiting, sent, strict=True) if error is not None]
        waiting[:] = [letter for letter, _ in failed]
        if failed:
            raise failed[0][1]

    async def _send_one(self, letter: Letter) -> None:
        try:
            await self._write(letter, _headers(letter))
        except _TOO_LARGE:
            # What grew is what we added: the original fitted into its own topic.
            log.warning("dead_letter_shortened", message_id=letter.message.id)
            await self._write(letter, [pair for pair in _headers(letter) if not _optional(pair[0])])

    async def _write(self, letter: Letter, headers: list[tuple[str, bytes | None]]) -> None:
        if self._producer is None:
            raise KafkaConnectionError("not connected")
        message = letter.message
        value = message.body
        if value is None and message.key is None:
            # The client refuses a record that has neither.
            value, headers = b"", [*headers, (f"{PREFIX}tombstone", b"true")]
        async with asyncio.timeout(self._settings.request_timeout_seconds):
            await self._producer.send_and_wait(
                self._settings.topic,
                value=value,
                key=message.key,
                headers=headers,
            )


def _optional(name: str) -> bool:
    return name.startswith(PREFIX) and name not in ESSENTIAL


def _headers(letter: Letter) -> list[tuple[str, bytes | None]]:
    original = [(name, _bytes(value)) for name, value in letter.message.headers]
    return original + [(name, value.encode()) for name, value in describe(letter)]


def _bytes(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return (str(value).lower() if isinstance(value, bool) else str(value)).encode()
