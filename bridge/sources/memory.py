"""A broker and its source within this process: the contract at its smallest, for tests and experiments."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bridge.errors import SourceLost
from bridge.message import Message, Position
from bridge.sources.kafka_offsets import Acks, Part
from bridge.sources.progress import Standing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bridge.message import HeaderValue


class MemoryBroker:
    """One log of messages and the next offset of its one consumer. Both outlive ``kill``."""

    def __init__(self, topic: str = "memory") -> None:
        self.topic = topic
        self.records: list[tuple[bytes | None, bytes | None, Sequence[tuple[str, HeaderValue]]]] = []
        self.committed = 0
        self.up = True
        self.changed = asyncio.Event()

    def publish(
        self, body: bytes | None, key: bytes | None = None, headers: Sequence[tuple[str, HeaderValue]] = ()
    ) -> None:
        """Append one message; its timestamp is its offset, for there is no clock here."""
        self.records.append((key, body, headers))
        self.changed.set()

    def kill(self) -> None:
        """From now on the broker is gone."""
        self.up = False
        self.changed.set()

    def start(self) -> None:
        """It is back, with all that it had."""
        self.up = True


class MemoryBatch:
    """See bridge.sources.base.Batch."""

    def __init__(self, messages: Sequence[Message], positions: Mapping[str, Position], ack: MemoryAck) -> None:
        self.messages = messages
        self.positions = positions
        self._ack = ack

    async def ack(self) -> None:
        """Commits at once what this completes."""
        self._ack.ack()


class MemorySource:
    """Reads a MemoryBroker; see bridge.sources.base.Source for the contract."""

    def __init__(self, name: str, broker: MemoryBroker, max_records: int = 100) -> None:
        self.name = name
        self._broker = broker
        self._max_records = max_records
        self._acks: Acks | None = None

    @property
    def connected(self) -> bool:
        """Between ``open`` and ``close``, while the broker is up."""
        return self._acks is not None and self._broker.up

    @property
    def assigned(self) -> Collection[str]:
        """Its only partition."""
        return [f"{self._broker.topic}/0"] if self.connected else []

    @property
    def lag(self) -> Mapping[str, int]:
        """What was not received yet."""
        return {f"{self._broker.topic}/0": len(self._broker.records) - self._acks.next} if self._acks else {}

    @property
    def received_ms(self) -> Mapping[str, int]:
        """Of its only partition."""
        return {f"{self._broker.topic}/0": self._acks.next - 1} if self._acks and self._acks.next else {}

    @property
    def counts(self) -> Mapping[str, int]:
        """Nothing."""
        return {}

    async def standing(self) -> Mapping[str, Standing]:
        """Of its only partition."""
        return {name: Standing(self._acks.next, behind) for name, behind in self.lag.items()} if self._acks else {}

    async def open(self) -> None:
        """Raises SourceLost while the broker is killed."""
        if not self._broker.up:
            raise SourceLost(f"{self.name}: the broker is gone")
        self._acks = Acks(self._broker.committed, self._broker.committed)

    async def receive(self) -> MemoryBatch:
        """The next messages. Raises SourceLost."""
        while True:
            if self._acks is None or not self._broker.up:
                raise SourceLost(f"{self.name}: the broker is gone")
            if self._acks.next < len(self._broker.records):
                return self._batch(self._acks)
            self._broker.changed.clear()
            await self._broker.changed.wait()

    async def close(self) -> None:
        """Forget what was given out."""
        self._acks = None
        self._broker.changed.set()

    def _batch(self, acks: Acks) -> MemoryBatch:
        first = acks.next
        records = self._broker.records[first : first + self._max_records]
        messages = [self._message(offset, *record) for offset, record in enumerate(records, first)]
        end = first + len(messages)
        positions = {f"{self._broker.topic}/0": Position(end - 1, end - 1)}
        return MemoryBatch(messages, positions, MemoryAck(self._broker, acks, acks.give(end), self))

    def _message(
        self, offset: int, key: bytes | None, body: bytes | None, headers: Sequence[tuple[str, HeaderValue]]
    ) -> Message:
        topic = self._broker.topic
        place: dict[str, str | int] = {"partition": 0, "offset": offset}
        return Message(self.name, f"{topic}/0/{offset}", topic, key, headers, body, offset, place)

    def owns(self, acks: Acks) -> bool:
        """Whether the connection that gave these out is still the current one."""
        return self._acks is acks and self._broker.up


class MemoryAck:
    """One batch's way back to the broker."""

    def __init__(self, broker: MemoryBroker, acks: Acks, part: Part, source: MemorySource) -> None:
        self._broker = broker
        self._acks = acks
        self._part = part
        self._source = source

    def ack(self) -> None:
        """Does nothing once the connection is gone."""
        self._part.done = True
        if self._source.owns(self._acks) and (due := self._acks.due()) is not None:
            self._broker.committed = self._acks.committed = due
