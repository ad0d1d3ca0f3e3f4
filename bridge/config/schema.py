"""The JSON Schema of the configuration, and questions to it: which names are known, which values are secret."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from bridge.call import IfMissing
from bridge.config.model import Config
from bridge.routing.words import Missing, shown_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.document import Keys

Schema = dict[str, Any]


class _AsWritten(GenerateJsonSchema):
    """Defaults in the form in which a user writes them: ``15m`` and ``wait 15m``, which the schema takes, too."""

    def encode_default(self, dft: Any) -> Any:  # noqa: ANN401  as pydantic has it
        if isinstance(dft, timedelta):
            return shown_duration(dft)
        if isinstance(dft, Missing):
            return f"wait {shown_duration(dft.wait)}" if dft.kind is IfMissing.WAIT else dft.kind.value
        return super().encode_default(dft)


@cache
def json_schema() -> Schema:
    """For editors, with ``include``, which is gone once a file has been read."""
    schema = Config.model_json_schema(schema_generator=_AsWritten)
    paths = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    text = "Further files, as globs relative to this one; their lists are appended, their mappings joined."
    schema["properties"] = {"include": {**paths, "title": "Include", "description": text}, **schema["properties"]}
    schema["title"] = "workflow-bridge"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def shapes(schema: Schema, value: object = None) -> Iterator[Schema]:
    """The schemas that may hold for a value, references followed; where one key decides, only the one it chose."""
    if "$ref" in schema:
        yield from shapes(json_schema()["$defs"][schema["$ref"].rsplit("/", 1)[1]], value)
        return
    chosen = _chosen(schema, value)
    variants = [chosen] if chosen else [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    for variant in variants:
        yield from shapes(variant, value)
    if not variants:
        yield schema


def _chosen(schema: Schema, value: object) -> Schema | None:
    discriminator = schema.get("discriminator")
    if discriminator is None or not isinstance(value, dict):
        return None
    reference = discriminator["mapping"].get(str(value.get(discriminator["propertyName"])))
    return {"$ref": reference} if reference else None


def names_at(value: object, path: Sequence[str | int]) -> list[str]:
    """The names that are known in the mapping at ``path`` of a configuration."""
    return sorted({name for schema in _at(value, path) for name in schema.get("properties", ())})


def kinds_at(value: object, path: Sequence[str | int]) -> list[str]:
    """What ``type`` may be in the mapping at ``path``, where it decides what else is known there."""
    found = [shape for schema in _at(value, path[:-1]) for shape in _inner(schema, path[-1])]
    wrong = [variant for schema in found for variant in (schema, *schema.get("anyOf", ()))]  # it may be left out
    return sorted({kind for schema in wrong for kind in schema.get("discriminator", {}).get("mapping", ())})


def _at(value: object, path: Sequence[str | int]) -> list[Schema]:
    schemas = list(shapes(json_schema(), value))
    for key in path:
        value = _step(value, key)
        schemas = [shape for schema in schemas for inner in _inner(schema, key) for shape in shapes(inner, value)]
    return schemas


def _step(value: object, key: str | int) -> object:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


def _inner(schema: Schema, key: str | int) -> Iterator[Schema]:
    """The schemas of what stands under ``key``."""
    if isinstance(key, int):
        candidates = [schema.get("items")]
    elif key in schema.get("properties", {}):
        candidates = [schema["properties"][key]]
    elif schema.get("type") == "array":  # one that stands for a list of it
        yield from (inner for shape in shapes(schema.get("items", {})) for inner in _inner(shape, key))
        return
    else:
        candidates = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
    yield from (candidate for candidate in candidates if isinstance(candidate, dict))


def secrets_in(value: object, path: Keys = (), schema: Schema | None = None) -> Iterator[tuple[Keys, str]]:
    """Every text or number of a configuration that stands where a secret belongs, with its path."""
    for shape in shapes(schema or json_schema(), value):
        if isinstance(value, str | int | float) and shape.get("writeOnly"):
            yield path, str(value)
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            for inner in _inner(shape, key):
                yield from secrets_in(item, (*path, key), inner)
