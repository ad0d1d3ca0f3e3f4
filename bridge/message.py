"""What comes in: a message as the broker gave it, undecoded, and its place in the broker's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HeaderValue = bytes | str | int | float | bool | None


class Message(NamedTuple):
    """One broker message, with key, headers and body exactly as they came.

    A named tuple because one is made per message on the hot path: a frozen dataclass of this
    size costs several times as much to build. Sources build it positionally.
    """

    source: str  # the configured name, e.g. "orders"
    id: str  # stable identity: "topic/partition/offset", AMQP message_id, else a text that names the delivery
    channel: str  # the topic, or the routing key
    key: bytes | None
    headers: Sequence[tuple[str, HeaderValue]]  # in order; names may repeat
    body: bytes | None  # None is a tombstone, never undecodable
    timestamp_ms: int | None  # Unix epoch, milliseconds, as the producer or broker set it
    attributes: Mapping[str, str | int]  # partition and offset, or exchange, routing_key, queue …
    redelivered: bool = False  # the broker says that it may have delivered this before
    has_identity: bool = True  # False: ``id`` is not the same when the message is delivered again


class CloudEvent(Message):
    """A message that is a CloudEvent; as a tuple it is the message as it came, headers, body and all."""

    ce: Mapping[str, object]  # the attributes and extensions, with their types; set by whoever makes the event

    @property
    def text(self) -> bytes | None:
        """The JSON text of the data, where that is JSON."""
        return self.body


class Position(NamedTuple):
    """The last message of one partition in a batch."""

    offset: int
    timestamp_ms: int  # -1 where the broker has none


class Stored(NamedTuple):
    """What the outbox knows of one partition."""

    last: Position | None  # the last message whose entries are stored; None: none yet
    committed: int | None  # the next offset, as the broker was last told; None: never told


class Positions(Protocol):
    """What a source with positions asks of, and tells to, whoever stores them (the outbox)."""

    async def stored(self, source: str, partitions: Iterable[str]) -> Mapping[str, Stored]:
        """What is known of these partitions ("topic/partition"); every name asked for is in the answer."""

    async def committed(self, source: str, offsets: Mapping[str, int]) -> None:
        """The broker has accepted these next offsets. May be written with the next transaction."""

    async def reset(self, source: str, offsets: Mapping[str, int]) -> None:
        """Somebody moved the group on purpose: from now on these are the next offsets. On disk when it returns."""

    async def withdraw(self, source: str, partitions: Iterable[str]) -> None:
        """These partitions now belong to another consumer.

        An outbox that relies on the broker for redelivery stops sending their entries, and this returns once the
        calls in flight have ended. A durable one keeps its own and returns at once.
        """
