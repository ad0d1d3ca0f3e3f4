"""JSON bodies with a JSON Schema."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from bridge.decoding import DecodingSettings
from bridge.decoding.json_schema import compile_json
from bridge.errors import ConfigError, Undecodable
from tests.decoding.messages import decoded, message

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        "note": {"pattern": "^(a+)+$"},
    },
    "$defs": {"line": {"properties": {"sku": {"type": "string", "maxLength": 3}}, "additionalProperties": False}},
}


def read(body: bytes | None, schema: object = SCHEMA) -> object:
    return compile_json(json.dumps(schema))(body)


def test_a_body_that_is_as_the_schema_says_is_its_value() -> None:
    """Integers are exact there too; a tombstone is not asked."""
    body = b'{"id": 18446744073709551615, "lines": [{"sku": "a"}]}'
    assert read(body) == {"id": 2**64 - 1, "lines": [{"sku": "a"}]}
    assert read(None) is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "not JSON"),
        (b"[]", "type at body$"),
        (b"{}", "required at body$"),
        (b'{"id": "hunter2"}', r"type at body\.id$"),
        (b'{"id": 1, "lines": [{}, {"sku": "hunter2"}]}', r"maxLength at body\.lines\[1\]\.sku$"),
        (b'{"id": 1, "lines": [{"hunter2": 1}]}', r"additionalProperties at body\.lines\[0\]$"),
        (b"null", "type at body$"),
    ],
)
def test_a_body_that_is_not_is_undecodable(body: bytes, why: str) -> None:
    """The reason names the place and the schema's word, and quotes no value."""
    with pytest.raises(Undecodable, match=why) as caught:
        read(body)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{", "not a JSON Schema"),
        ('{"type": "strin"}', "not a JSON Schema"),
        ('{"$ref": "https://example.com/order.json"}', "nothing is fetched"),
        ('{"$ref": "other.json"}', "not a JSON Schema"),
        ('{"pattern": "(?=a)b"}', "not a JSON Schema"),
    ],
)
def test_a_file_that_is_no_schema_is_a_problem_of_the_configuration(tmp_path: Path, schema: str, why: str) -> None:
    """So is one that refers to elsewhere, or has a pattern that could take for ever."""
    file = tmp_path / "order.schema.json"
    file.write_text(schema)
    with pytest.raises(ConfigError, match=why) as caught:
        decoded(DecodingSettings.model_validate({"schema_file": str(file)}), message(b"{}"))
    assert caught.value.problems[0].path == "schema_file"


@pytest.mark.parametrize("schema", ['{"type": "object"}', '{"type": "array", "items": {"$ref": "#"}}', '{"not": {}}'])
@pytest.mark.parametrize("depth", [300, 1000])
def test_a_body_too_deep_for_the_validator_is_undecodable(schema: str, depth: int) -> None:
    """The parser takes more levels than the validator, whose own errors must not end the bridge."""
    with contextlib.suppress(Undecodable):
        compile_json(schema)(b"[" * depth + b"]" * depth)


def test_no_pattern_takes_long() -> None:
    """One that would take for ever with backtracking."""
    begin = time.process_time()
    with pytest.raises(Undecodable, match="pattern"):
        read(b'{"id": 1, "note": "%b!"}' % (b"a" * 1_000_000))
    assert time.process_time() - begin < 5
