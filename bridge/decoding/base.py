"""The contract between intake and a codec.

    await decoder.prepare(batch.messages)          # again, later, after SchemasUnavailable
    decoded = decoder.decode(batch.messages)

- ``prepare`` gets what decoding these messages needs and is not here yet: nothing for most codecs, schemas of a
  registry for some. It raises SchemasUnavailable while that cannot be had: then nothing is known about the messages,
  and the caller keeps them and tries again. It may be cancelled at any time.
- ``decode`` waits for nobody. What is wrong with one message is that message's own problem: the others are decoded.
- ``decode`` after a ``prepare`` for the same messages never lacks anything: a schema that the registry does not have
  is a reason why the message cannot be decoded.
- A tombstone (a body of None) is decoded to None by every codec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from bridge.errors import Undecodable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bridge.message import Message


class Decoded(NamedTuple):
    """What the messages of one batch are to the rules."""

    messages: Sequence[Message]  # those that were given; a CloudEvent in the place of one that is
    values: list[object]  # the body of each; None in the place of one that failed
    failed: Mapping[int, str]  # place -> why the message cannot be decoded; quotes nothing of it


class Decoder(Protocol):
    """The codec of one source."""

    async def prepare(self, messages: Sequence[Message]) -> None:
        """Get what decoding these messages needs. Raises SchemasUnavailable."""

    def decode(self, messages: Sequence[Message]) -> Decoded:
        """Bodies to values. Raises nothing for what a message holds."""

    async def close(self) -> None:
        """Let go of connections. May be called more than once; ``prepare`` raises SchemasUnavailable after it."""


class BodyDecoder:
    """A codec that needs nothing but the body."""

    def __init__(self, decode: Callable[[bytes | None], object]) -> None:
        self._decode = decode  # raises Undecodable

    async def prepare(self, messages: Sequence[Message]) -> None:
        """Nothing is needed."""

    def decode(self, messages: Sequence[Message]) -> Decoded:
        """See Decoder."""
        decode = self._decode
        values: list[object] = []
        failed: dict[int, str] = {}
        for message in messages:
            try:
                values.append(decode(message.body))
            except Undecodable as error:
                failed[len(values)] = str(error)
                values.append(None)
        return Decoded(messages, values, failed)

    async def close(self) -> None:
        """Nothing is held."""
