"""Publishes dead letters to a Kafka topic."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
)

from bridge.dead_letters.letter import PREFIX, alone, ended, until_confirmed
from bridge.dead_letters.shortening import Kept, contents, tell
from bridge.errors import OutboxError
from bridge.sources.kafka_connection import client_options, diagnose, explain, lose_closed_connections

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.dead_letters.letter import Letter
    from bridge.dead_letters.settings import KafkaDeadLetterSettings

CLOSE_SECONDS = 5.0
_FAILURES = (KafkaError, OSError, TimeoutError)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError)


class KafkaDeadLetters:
    """A bridge.outbox.publisher.DeadLetterQueue: key, headers and body as they came, and headers that tell why."""

    def __init__(self, settings: KafkaDeadLetterSettings, cut: Callable[[int], None]) -> None:
        """cut: told how many letters went without some of their message, since it is too large for the topic."""
        self._settings = settings
        self._cut = cut
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Connect, and see that the topic is there. Raises OutboxError."""
        try:
            await alone(self._connect())
        except _FAILURES as error:
            await self.close()
            reason = await diagnose(self._settings) if isinstance(error, KafkaConnectionError) else explain(error)
            raise OutboxError(f"dead letters cannot go to topic {self._settings.topic}: {reason}") from error

    async def publish(self, letters: Sequence[Letter]) -> None:
        """Return once every letter is written by all in-sync replicas; tries until then.

        One that is too large for the topic goes in a shorter form, or in the end not at all: it would never be taken.
        """
        waiting = list(letters)

        async def attempt() -> None:
            while waiting:
                await self._send(waiting)

        await until_confirmed(waiting, attempt, self._connect, _FAILURES)

    async def close(self) -> None:
        """Let go of the broker."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await ended(producer.stop(), CLOSE_SECONDS)
            await ended(producer.client.close(), CLOSE_SECONDS)

    async def _connect(self) -> None:
        await self.close()
        self._producer = AIOKafkaProducer(
            **client_options(self._settings),
            acks="all",
            enable_idempotence=True,
            max_request_size=self._settings.max_message_bytes,
        )
        lose_closed_connections(self._producer.client)
        async with asyncio.timeout(self._settings.request_timeout_seconds):
            await self._producer.start()
            await self._producer.partitions_for(self._settings.topic)

    async def _send(self, waiting: list[Letter]) -> None:
        """Send all and take those that are confirmed, or too large, out of the list."""
        sent = await asyncio.gather(*(self._write(letter, Kept.WHOLE) for letter in waiting), return_exceptions=True)
        failed = [(letter, error) for letter, error in zip(waiting, sent, strict=True) if error is not None]
        waiting[:] = [letter for letter, _ in failed]
        for _, error in failed:
            if not isinstance(error, _TOO_LARGE):
                raise error
        while waiting:  # one after the other: together, too, they may have been too large
            await self._shorten(waiting[0])
            del waiting[0]

    async def _shorten(self, letter: Letter) -> None:
        """Send as much of it as the topic takes."""
        for kept in Kept:
            try:
                await self._write(letter, kept)
            except _TOO_LARGE:
                continue
            tell(letter, kept, self._cut)
            return
        tell(letter, None, self._cut)

    async def _write(self, letter: Letter, kept: Kept) -> None:
        if self._producer is None:
            raise KafkaConnectionError("not connected")
        key, value, original, told = contents(letter, kept)
        headers = [(name, _bytes(held)) for name, held in original] + [(name, text.encode()) for name, text in told]
        if value is None and key is None:
            # The client refuses a record that has neither.
            value, headers = b"", [*headers, (f"{PREFIX}tombstone", b"true")]
        async with asyncio.timeout(self._settings.request_timeout_seconds):
            await self._producer.send_and_wait(self._settings.topic, value=value, key=key, headers=headers)


def _bytes(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return (str(value).lower() if isinstance(value, bool) else str(value)).encode()
