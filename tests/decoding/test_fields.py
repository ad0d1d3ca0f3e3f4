"""What schema files tell about the fields of a body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bridge.decoding import DecodingSettings, Fields, known_fields
from bridge.errors import ConfigError
from tests.decoding.schemas import CUSTOMER_FILE, ORDER_FILE, descriptor_set, text

if TYPE_CHECKING:
    from pathlib import Path

ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "parent", "type": ["null", "Order"]},
        {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "L", "fields": [
            {"name": "sku", "type": "string"}]}}},
        {"name": "tags", "type": {"type": "map", "values": "Order"}},
    ],
}  # fmt: skip
JSON_SCHEMA: dict[str, Any] = {
    "properties": {
        "id": {"type": "integer"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        "any": {},
        "parent": {"$ref": "#"},
        "either": {
            "anyOf": [{"type": "null"}, {"properties": {"a": {"type": "string"}}, "additionalProperties": False}]
        },
    },
    "additionalProperties": False,
    "$defs": {
        "line": {"type": "object", "properties": {"sku": {"type": "string"}}},
        "closed": {"properties": {"a": {"type": "string"}}, "additionalProperties": False},
    },
}


def known(folder: Path, decode: str, content: bytes, **more: str) -> Fields:
    file = folder / "schema"
    file.write_bytes(content)
    settings = {"decode": decode, "schema_file": str(file), **more}
    found = known_fields(DecodingSettings.model_validate(settings))
    assert found is not None
    return found


def at(fields: Fields | None, path: str) -> bool:
    """Whether there can be anything at a path: names and places, separated by spaces."""
    for step in path.split():
        fields = None if fields is None else fields.below(int(step) if step.isdigit() else step)
    return fields is not None


def there(fields: Fields, *paths: str) -> None:
    assert [path for path in paths if not at(fields, path)] == []


def not_there(fields: Fields, *paths: str) -> None:
    assert [path for path in paths if at(fields, path)] == []


def test_avro(tmp_path: Path) -> None:
    """Records are closed, also within themselves; a map has any key."""
    fields = known(tmp_path, "avro", text(ORDER).encode())
    assert sorted(fields.names) == ["id", "lines", "parent", "tags"]
    there(fields, "id", "lines 0 sku", "parent parent id", "tags x lines 5 sku")
    not_there(fields, "ids", "id x", "lines sku", "lines 0 sk", "parent x", "tags x y")


def test_protobuf(tmp_path: Path) -> None:
    """Messages are closed."""
    content = descriptor_set(CUSTOMER_FILE, ORDER_FILE)
    fields = known(tmp_path, "protobuf", content, message="shop.Order")
    there(fields, "order_id", "customer full_name", "tags x")
    not_there(fields, "orderId", "customer name", "tags x y", "order_id x")


def test_json_schema(tmp_path: Path) -> None:
    """Open where ``additionalProperties`` does not say otherwise."""
    fields = known(tmp_path, "json", text(JSON_SCHEMA).encode())
    assert not fields.open
    there(fields, "id", "lines 0 sku", "lines 0 other", "any x 1", "either a", "parent id")
    not_there(fields, "ids", "id x", "lines sku", "either b")
    assert fields.names["lines"].items is not None
    assert fields.names["lines"].items.open


def test_without_a_schema_file_nothing_is_known(tmp_path: Path) -> None:
    """And a file that is no schema says what is wrong."""
    assert known_fields(DecodingSettings()) is None
    for decode, more in (("json", {}), ("avro", {}), ("protobuf", {"message": "A"})):
        with pytest.raises(ConfigError):
            known(tmp_path, decode, b"{", **more)
