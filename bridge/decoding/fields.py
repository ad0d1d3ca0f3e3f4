"""Which fields the bodies of a source can have, as far as its schema file tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from bridge.decoding.decoder import load_codec, read_schema
from bridge.decoding.settings import Decode
from bridge.errors import ConfigError, Problem, Undecodable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.decoding.settings import DecodingSettings


class Fields(NamedTuple):
    """What can be below one value. A type that contains itself is found again below itself: the tree has no end.

    names: the known fields of a map. open: others may be there too. items: what the elements of a list are, or the
    values of a map under keys that are not known; None: nothing is known about them.
    """

    names: dict[str, Fields]
    open: bool = False
    items: Fields | None = None

    def below(self, step: str | int) -> Fields | None:
        """What is at a field, or at a place in a list; None where nothing can be."""
        if step in self.names:
            return self.names[str(step)]
        if self.items is not None and (self.open or isinstance(step, int)):
            return self.items
        return ANYTHING if self.open else None


ANYTHING: Final = Fields({}, open=True)
SCALAR: Final = Fields({})
_OPAQUE = frozenset(f"google.protobuf.{name}" for name in ("Struct", "Value", "ListValue", "Any"))


def known_fields(settings: DecodingSettings) -> Fields | None:
    """What ``body`` can have; None where no schema file says it. Raises ConfigError where the file will not do."""
    file = settings.schema_file
    if file is None:
        return None
    content = read_schema(file)
    try:
        if settings.decode is Decode.PROTOBUF:
            _, descriptor = load_codec("protobuf").load_file(content, settings.message)
            return _Protobuf().of(descriptor)
        if settings.decode is Decode.AVRO:
            schema, named = load_codec("avro").parse_avro(content.decode(errors="replace"))
            return _Avro(named).of(schema).names["value"]
        return _JsonSchema(orjson.loads(content)).of_root()
    except (Undecodable, orjson.JSONDecodeError) as error:
        raise ConfigError([Problem("schema_file", f"{file}: {error}")]) from None


def _either(parts: Iterable[Fields]) -> Fields:
    """What is below a value that is of one of several kinds."""
    kinds = [part for part in parts if part is not SCALAR]
    if len(kinds) < 2:  # noqa: PLR2004  there is nothing to merge
        return kinds[0] if kinds else SCALAR
    names: dict[str, Fields] = {}
    for part in kinds:
        for name, below in part.names.items():
            names[name] = below if name not in names else ANYTHING
    items = [part.items for part in kinds if part.items is not None]
    is_open = any(part.open for part in kinds)
    return Fields(names, is_open, items[0] if len(items) == 1 else ANYTHING if items else None)


class _Avro:
    """Of a schema as fastavro has parsed it."""

    def __init__(self, named: dict[str, Any]) -> None:
        self._named = named
        self._made: dict[str, Fields] = {}

    def of(self, schema: Any) -> Fields:  # noqa: ANN401  as JSON has it
        if isinstance(schema, list):
            return _either([self.of(branch) for branch in schema])
        kind = schema if isinstance(schema, str) else schema["type"]
        if isinstance(kind, list | dict):
            return self.of(kind)
        if kind == "array":
            return Fields({}, items=self.of(schema["items"]))
        if kind == "map":
            return Fields({}, open=True, items=self.of(schema["values"]))
        name = kind if isinstance(schema, str) else schema.get("name", "")
        return self._of_name(name) if name in self._named else SCALAR

    def _of_name(self, name: str) -> Fields:
        definition = self._named[name]
        if definition["type"] not in {"record", "error"}:
            return SCALAR
        if name not in self._made:
            made = self._made[name] = Fields({})
            made.names.update({field["name"]: self.of(field["type"]) for field in definition["fields"]})
        return self._made[name]


class _Protobuf:
    """Of the descriptor of a message type."""

    def __init__(self) -> None:
        self._made: dict[str, Fields] = {}

    def of(self, descriptor: Any) -> Fields:  # noqa: ANN401  google.protobuf is imported elsewhere
        name = descriptor.full_name
        if name in _OPAQUE:
            return ANYTHING
        if name.startswith("google.protobuf.") and name.endswith(("Value", "Timestamp", "Duration")):
            return SCALAR
        if name not in self._made:
            made = self._made[name] = Fields({})
            made.names.update({field.name: self._field(field) for field in descriptor.fields})
        return self._made[name]

    def _field(self, field: Any) -> Fields:  # noqa: ANN401
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            return Fields({}, open=True, items=self._single(message.fields_by_name["value"]))
        return Fields({}, items=self._single(field)) if field.is_repeated else self._single(field)

    def _single(self, field: Any) -> Fields:  # noqa: ANN401
        return SCALAR if field.message_type is None else self.of(field.message_type)


class _JsonSchema:
    """Of a JSON Schema: what ``properties``, ``items``, references within the file and combinations of these say."""

    def __init__(self, document: Any) -> None:  # noqa: ANN401  as JSON has it
        self._document = document
        self._made: dict[str, Fields] = {}

    def of_root(self) -> Fields:
        return self._of(self._document)

    def _of(self, schema: Any) -> Fields:  # noqa: ANN401
        if not isinstance(schema, dict):
            return ANYTHING
        if isinstance(schema.get("$ref"), str):
            return self._of_reference(schema["$ref"])
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list) and "properties" not in schema:
                return _either([self._of(part) for part in schema[word]])
        if "properties" in schema or schema.get("type") == "object" or "allOf" in schema:
            return self._object(schema)
        if schema.get("type") == "array":
            return Fields({}, items=self._of(schema.get("items")))
        return SCALAR if isinstance(schema.get("type"), str) else ANYTHING

    def _object(self, schema: dict[str, Any]) -> Fields:
        names = {name: self._of(part) for name, part in dict(schema.get("properties") or {}).items()}
        for part in schema.get("allOf") or ():
            names |= self._of(part).names
        more = schema.get("additionalProperties", True)
        is_open = more is not False or not {"patternProperties", "anyOf", "oneOf", "if"}.isdisjoint(schema)
        return Fields(names, is_open, self._of(more) if isinstance(more, dict) else None)

    def _of_reference(self, reference: str) -> Fields:
        if reference not in self._made:
            place = self._made[reference] = Fields({}, open=True)  # what a cycle of references meets
            found = self._of(self._at(reference))
            place.names.update(found.names)
            self._made[reference] = found
        return self._made[reference]

    def _at(self, reference: str) -> Any:  # noqa: ANN401
        """The part of the document that a reference names; True, which allows everything, where it names none."""
        found = self._document
        for step in reference.removeprefix("#").split("/")[1:]:
            if not isinstance(found, dict):
                return True
            found = found.get(step.replace("~1", "/").replace("~0", "~"), True)
        return found if reference.startswith("#") else True
