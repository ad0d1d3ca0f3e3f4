"""Avro: schemas to functions that read binary data written with them. Registries and files are elsewhere."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import fastavro
import orjson

from bridge.decoding.avro_bounds import ALWAYS, MAX_VALUES, density, walker
from bridge.decoding.logical import with_own_names
from bridge.errors import Undecodable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.decoding.logical import Schema

BODY = "workflow_bridge.Body"  # a record around the schema: it adds no byte, and gives each schema the same shape
_REASON_LENGTH = 200


def compile_avro(text: str, references: Sequence[tuple[str, str]] = ()) -> Callable[[bytes], object]:
    """A function that reads data written with this schema.

    text: the schema as JSON. references: name and text of schemas that it uses, each before those that use it. The
    function raises Undecodable for what was not written with it, or would be larger or deeper than the bounds of
    ``avro_bounds``. Raises Undecodable where this is no schema.
    """
    schema, named = parse_avro(text, references)
    try:
        dense, walk = density(schema, named), walker(schema, named)
    except (KeyError, TypeError, ValueError) as error:  # fastavro is content with less than the specification asks for
        raise Undecodable(f"not an Avro schema: {error} is missing or wrong") from None
    except RecursionError:
        raise Undecodable("an Avro schema that is nested too deeply") from None
    longest = 0 if dense == ALWAYS else MAX_VALUES // dense

    def read(data: bytes) -> object:
        if len(data) > longest or dense == ALWAYS:
            walk(data)
        stream = BytesIO(data)
        try:
            record: Any = fastavro.schemaless_reader(stream, schema, None)
        except Undecodable:
            raise
        except Exception as error:  # noqa: BLE001  fastavro names no errors of its own: any of Python's can come
            raise Undecodable(f"not Avro of this schema: {type(error).__name__}") from None
        if stream.tell() != len(data):
            raise Undecodable("not Avro of this schema: bytes are left over")
        return record["value"]

    return read


def parse_avro(text: str, references: Sequence[tuple[str, str]] = ()) -> tuple[Schema, dict[str, Schema]]:
    """The schema as fastavro wants it, with all named types. Raises Undecodable where it is none."""
    named: dict[str, Schema] = {}
    try:
        for _, used in references:
            fastavro.parse_schema(with_own_names(_loaded(used)), named_schemas=named)
        body = {"type": "record", "name": BODY, "fields": [{"name": "value", "type": with_own_names(_loaded(text))}]}
        return fastavro.parse_schema(body, named_schemas=named), named
    except Exception as error:  # noqa: BLE001  as above
        raise Undecodable(f"not an Avro schema: {str(error)[:_REASON_LENGTH] or type(error).__name__}") from None


def _loaded(text: str) -> Schema:
    """A schema's JSON; a bare name is one too."""
    return orjson.loads(text) if text.lstrip()[:1] in {"{", "[", '"'} else text.strip()
