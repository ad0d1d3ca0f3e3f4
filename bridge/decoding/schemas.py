"""Schemas of a registry, fetched once each and compiled; and the codec of bodies that begin with a schema's id.

Such a body is a zero byte, the id in four bytes, and what the schema says
(docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html, "Wire format").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from bridge.decoding.base import BodyDecoder, Decoded
from bridge.errors import SchemasUnavailable, Undecodable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bridge.decoding.schema_registry import Reference, Registered, SchemaRegistry
    from bridge.message import Message

Read = Callable[[bytes], object]
"""A compiled schema: the part of a body behind the id -> value. Raises Undecodable."""

HEADER_BYTES = 5
HIGHEST_ID = 2**31 - 1  # registries count in Java's int, and to a larger id they answer like any other server
MAX_SCHEMAS = 10_000  # kept at once
MAX_REFERENCES = 1_000  # of one schema, with those of its references
UNKNOWN_SECONDS = 30.0  # so long an id that the registry does not have is not asked for again


class _Failure(NamedTuple):
    """Why the messages of an id cannot be decoded, and until when that is believed."""

    why: str
    until_seconds: float


class SchemaDecoder:
    """See bridge.decoding.base.Decoder."""

    def __init__(
        self,
        registry: SchemaRegistry,
        kind: str,
        compile_schema: Callable[[str, Sequence[tuple[str, str]]], Read],
        seconds: Callable[[], float],
    ) -> None:
        """One codec over one registry.

        kind: AVRO or PROTOBUF. compile_schema: of a schema's text and, before those that use them, its references as
        (name, text); raises Undecodable where it is no such schema. seconds: a monotonic clock.
        """
        self._registry = registry
        self._kind = kind
        self._compile = compile_schema
        self._seconds = seconds
        self._known: dict[int, Read | _Failure] = {}
        self._bodies = BodyDecoder(self._decode)

    async def prepare(self, messages: Sequence[Message]) -> None:
        """Fetch the schemas that these messages name and that are not here. Raises SchemasUnavailable."""
        needed = {number for message in messages if (number := _id_of(message.body)) is not None}
        missing = [number for number in needed if number <= HIGHEST_ID and self._is_missing(number)]
        if missing:
            self._make_room(needed)
            for number in missing:
                self._known[number] = await self._fetch(number)

    def decode(self, messages: Sequence[Message]) -> Decoded:
        """See Decoder."""
        return self._bodies.decode(messages)

    async def close(self) -> None:
        """See Decoder."""
        await self._registry.close()

    def _is_missing(self, number: int) -> bool:
        found = self._known.get(number)
        return found is None or (isinstance(found, _Failure) and found.until_seconds <= self._seconds())

    def _make_room(self, needed: Collection[int]) -> None:
        if len(self._known) + len(needed) > MAX_SCHEMAS:
            self._known = {number: schema for number, schema in self._known.items() if number in needed}

    async def _fetch(self, number: int) -> Read | _Failure:
        try:
            found = self._checked(await self._registry.by_id(number), f"schema {number}")
            return self._compile(found.text, list((await self._references(found)).items()))
        except Undecodable as error:
            return _Failure(str(error), self._seconds() + UNKNOWN_SECONDS)

    def _checked(self, found: Registered | None, what: str) -> Registered:
        if found is None:
            raise Undecodable(f"the registry has no {what}")
        if found.kind != self._kind:
            raise Undecodable(f"{what} is of the kind {found.kind[:20]}, not {self._kind}")
        return found

    async def _references(self, schema: Registered) -> Mapping[str, str]:
        """Name -> text of everything that a schema uses, each before what uses it. Raises Undecodable."""
        found: dict[str, str] = {}
        begun: set[str] = set()
        # Each reference is visited twice: to look for its own ones, and when these are done.
        waiting: list[tuple[Reference, str | None]] = [(reference, None) for reference in reversed(schema.references)]
        while waiting:
            reference, text = waiting.pop()
            if text is not None:
                found[reference.name] = text
            elif reference.name not in begun:
                begun.add(reference.name)
                used = await self._used(reference, len(begun))
                waiting.append((reference, used.text))
                waiting += ((one, None) for one in reversed(used.references))
        return found

    async def _used(self, reference: Reference, number: int) -> Registered:
        if number > MAX_REFERENCES:
            raise Undecodable(f"the schema has more than {MAX_REFERENCES} references")
        what = f"version {reference.version} of {reference.subject}, to which the schema refers"
        return self._checked(await self._registry.by_version(reference), what)

    def _decode(self, body: bytes | None) -> object:
        if body is None:
            return None
        number = _id_of(body)
        if number is None:
            raise Undecodable("the body does not begin with a zero byte and a schema's id")
        if number > HIGHEST_ID:
            raise Undecodable(f"no registry can have a schema {number}")
        found = self._known.get(number)
        if found is None:
            raise SchemasUnavailable(f"schema {number} was not prepared for", "closed")
        if isinstance(found, _Failure):
            raise Undecodable(found.why)
        return found(body[HEADER_BYTES:])


def _id_of(body: bytes | None) -> int | None:
    """The schema's id that a body begins with; None where it does not."""
    if body is None or len(body) < HEADER_BYTES or body[0]:
        return None
    return int.from_bytes(body[1:HEADER_BYTES], "big")
