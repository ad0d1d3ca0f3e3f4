"""Walks Avro data without making values, so that what a body may cost is known before it is decoded.

fastavro trusts what it reads: a block of 2^62 nulls is a list that never ends, and data of a type that contains itself
can be so deep that the process dies. A walk in Python costs several times the decoding, so that it is done only where
the schema allows such things, or the body is large.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from bridge.errors import Undecodable

Schema = Any  # parsed by fastavro: names are full, and written out once
Named = Mapping[str, Schema]

MAX_VALUES = 1 << 20  # in one body
MAX_DEPTH = 64  # of types that contain themselves
SIZES = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}
_VARINT_BYTES = 10
ALWAYS = float("inf")


class _Weight(NamedTuple):
    """What one value of a schema is at the least in bytes, and at the most in values without its lists and maps."""

    size: int
    values: int


def density(schema: Schema, named: Named) -> float:
    """How many values one byte of a body can make; ALWAYS where there is no bound without a walk."""
    try:
        return _Measure(named).of(schema)
    except RecursionError:
        return ALWAYS


class _Measure:
    """Finds the worst list or map of a schema."""

    def __init__(self, named: Named) -> None:
        self._named = named
        self._open: set[str] = set()
        self._weights: dict[str, _Weight] = {}
        self._worst = 1.0

    def of(self, schema: Schema) -> float:
        self._weight(schema)
        return self._worst

    def _weight(self, schema: Schema) -> _Weight:
        if isinstance(schema, list):
            if not schema:
                raise ValueError("a union's branch")
            parts = [self._weight(branch) for branch in schema]
            return _Weight(1 + min(part.size for part in parts), max(part.values for part in parts))
        kind = schema if isinstance(schema, str) else schema["type"]
        if kind in SIZES:
            return _Weight(SIZES[kind], 1)
        if kind in {"array", "map"}:
            self._repeated(self._weight(schema["items" if kind == "array" else "values"]), int(kind == "map"))
            return _Weight(1, 1)
        if isinstance(kind, dict | list):
            return self._weight(kind)
        return self._of_name(kind if kind in self._named else schema["name"])

    def _repeated(self, item: _Weight, key: int) -> None:
        size = item.size + key
        self._worst = max(self._worst, (item.values + key) / size if size else ALWAYS)

    def _of_name(self, name: str) -> _Weight:
        if name in self._open:
            self._worst = ALWAYS
            return _Weight(0, 1)
        if name not in self._weights:
            self._open.add(name)
            self._weights[name] = self._of_definition(self._named[name])
            self._open.remove(name)
        return self._weights[name]

    def _of_definition(self, schema: Schema) -> _Weight:
        if schema["type"] == "enum":
            return _Weight(1, 1)
        if schema["type"] == "fixed":
            return _Weight(schema["size"], 1)
        parts = [self._weight(field["type"]) for field in schema["fields"]]
        return _Weight(sum(part.size for part in parts), 1 + sum(part.values for part in parts))


class _Walk:
    """One pass over one body."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0
        self.values = 0

    def long(self) -> int:
        value = shift = 0
        for byte in self.body[self.at : self.at + _VARINT_BYTES]:
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004  the bit that says that more follows
                return (value >> 1) ^ -(value & 1)
            shift += 7
        raise Undecodable("not Avro of this schema: an integer without an end")

    def forward(self, size: int) -> None:
        if not 0 <= size <= len(self.body) - self.at:
            raise Undecodable("not Avro of this schema: the body ends too soon")
        self.at += size

    def count(self, values: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            raise Undecodable(f"a body of more than {MAX_VALUES} values")

    def blocks(self) -> int:
        """The number of items in the next block; 0 at the end."""
        count = self.long()
        if count < 0:
            self.long()  # the block's size in bytes, for readers that skip it
        self.count(abs(count))
        return abs(count)


Skip = Callable[[_Walk, int], None]


def walker(schema: Schema, named: Named) -> Callable[[bytes], None]:
    """A function that walks one body. It raises Undecodable for one that is too large, too deep or cut off."""
    skips: dict[str, Skip] = {}
    for name, definition in named.items():
        skips[name] = _definition(definition, skips)
    skip = _skip(schema, skips)

    def walk(body: bytes) -> None:
        skip(_Walk(body), 0)

    return walk


def _skip(schema: Schema, skips: Mapping[str, Skip]) -> Skip:
    if isinstance(schema, list):
        return _union([_skip(branch, skips) for branch in schema])
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(kind, dict | list):
        return _skip(kind, skips)
    if kind == "array":
        return _repeated(_skip(schema["items"], skips), key=False)
    if kind == "map":
        return _repeated(_skip(schema["values"], skips), key=True)
    if kind in _PRIMITIVES:
        return _PRIMITIVES[kind]
    name = kind if isinstance(schema, str) or kind not in {"record", "error", "enum", "fixed"} else schema["name"]
    return lambda walk, depth: skips[name](walk, depth)  # noqa: PLW0108  a type may be used before it is defined


def _definition(schema: Schema, skips: Mapping[str, Skip]) -> Skip:
    if schema["type"] == "enum":
        return lambda walk, _: _discard(walk.long())
    if schema["type"] == "fixed":
        return lambda walk, _: walk.forward(schema["size"])
    return _record([_skip(field["type"], skips) for field in schema["fields"]])


def _record(fields: Sequence[Skip]) -> Skip:
    def skip(walk: _Walk, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Undecodable(f"records more than {MAX_DEPTH} levels deep")
        walk.count(len(fields))
        for field in fields:
            field(walk, depth + 1)

    return skip


def _union(branches: Sequence[Skip]) -> Skip:
    def skip(walk: _Walk, depth: int) -> None:
        index = walk.long()
        if not 0 <= index < len(branches):
            raise Undecodable("not Avro of this schema: a union has no such branch")
        branches[index](walk, depth)

    return skip


def _repeated(item: Skip, *, key: bool) -> Skip:
    def skip(walk: _Walk, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Undecodable(f"lists more than {MAX_DEPTH} levels deep")
        while count := walk.blocks():
            for _ in range(count):
                if key:
                    walk.forward(walk.long())
                item(walk, depth + 1)

    return skip


def _discard(_: int) -> None:
    """A number that says nothing about size."""


_PRIMITIVES: Mapping[str, Skip] = {
    "null": lambda _walk, _depth: None,
    "boolean": lambda walk, _: walk.forward(1),
    "int": lambda walk, _: _discard(walk.long()),
    "long": lambda walk, _: _discard(walk.long()),
    "float": lambda walk, _: walk.forward(4),
    "double": lambda walk, _: walk.forward(8),
    "bytes": lambda walk, _: walk.forward(walk.long()),
    "string": lambda walk, _: walk.forward(walk.long()),
}
