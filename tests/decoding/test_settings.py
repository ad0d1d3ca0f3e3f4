"""What a configuration may say about decoding, and what is wrong with what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from bridge.config.loading import load_config
from bridge.decoding import DecodingSettings
from bridge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = {"url": "https://registry.example.com/"}


def problems(settings: dict[str, Any]) -> list[tuple[str, str]]:
    """Path and message of each."""
    with pytest.raises(ValidationError) as caught:
        DecodingSettings.model_validate(settings)
    return [(".".join(map(str, error["loc"])), error["msg"]) for error in caught.value.errors()]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"decode": "cloudevents"},
        {"schema_file": "order.schema.json"},
        {"decode": "avro", "registry": REGISTRY},
        {"decode": "avro", "schema_file": "a.avsc"},
        {"decode": "protobuf", "registry": {**REGISTRY, "auth_file": "a", "auth": "bearer", "ca_file": "c"}},
        {"decode": "protobuf", "schema_file": "a.binpb", "message": "shop.Order"},
        {"decode": "avro", "registry": {"url": "http://127.0.0.1:8081", "auth_file": "a"}},
        {"decode": "avro", "registry": {"url": "http://registry:8081/apis/ccompat/v7"}},
    ],
)
def test_what_makes_sense(settings: dict[str, Any]) -> None:
    """Each codec with what it needs."""
    made = DecodingSettings.model_validate(settings)
    assert made.registry is None or not made.registry.url.endswith("/")


@pytest.mark.parametrize(
    ("settings", "path", "why"),
    [
        ({"registry": REGISTRY}, "registry", "no meaning with decode: json; it is for avro, protobuf"),
        ({"decode": "text", "schema_file": "a"}, "schema_file", "no meaning with decode: text"),
        ({"decode": "avro", "schema_file": "a", "message": "A"}, "message", "with decode: avro; it is for protobuf"),
        ({"decode": "avro"}, "", "needs one of registry and schema_file"),
        ({"decode": "avro", "registry": REGISTRY, "schema_file": "a"}, "", "needs one of registry and schema_file"),
        ({"decode": "protobuf", "schema_file": "a"}, "", "needs message, the full name"),
        ({"decode": "protobuf", "registry": REGISTRY, "message": "A"}, "", "each body says its own type"),
        ({"decode": "protobuf", "schema_file": "a", "message": "a b"}, "message", "pattern"),
        ({"decode": "avro", "registry": {}}, "registry.url", "required"),
        ({"decode": "avro", "registry": {"url": "registry:8081"}}, "registry.url", "must begin with https"),
        ({"decode": "avro", "registry": {"url": "https://u:p@host"}}, "registry.url", "credentials go into auth_file"),
        ({"decode": "avro", "registry": {"url": "https://host?a=b"}}, "registry.url", "plain URL"),
        ({"decode": "avro", "registry": {"url": "http://host", "auth_file": "a"}}, "registry", "needs an https"),
        ({"decode": "avro", "registry": {**REGISTRY, "auth": "basic"}}, "registry", "and there is none"),
        ({"decode": "avro", "registry": {**REGISTRY, "timeout_seconds": 0}}, "registry.timeout_seconds", "greater"),
        ({"decode": "avro", "registry": {**REGISTRY, "user": "x"}}, "registry.user", "not permitted"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], path: str, why: str) -> None:
    """The problem is at the setting, and says what to do."""
    assert [found for found in problems(settings) if found[0] == path and why in found[1]], problems(settings)


CONFIG = """
targets: {main: {account_id: a, base_url: "http://127.0.0.1:1", api_token_file: TOKEN}}
sources:
  orders:
    type: kafka
    bootstrap_servers: ["127.0.0.1:1"]
    topics: [orders]
    group_id: g
    decode: avro
    schema_file: SCHEMA
outbox: {type: sqlite, path: OUTBOX}
rules: [{name: r, create: {workflow: w}}]
"""


def test_a_wrong_schema_file_is_found_by_check(tmp_path: Path) -> None:
    """With the line of the setting."""
    token, schema, file = tmp_path / "token", tmp_path / "order.avsc", tmp_path / "bridge.yaml"
    token.write_text("t0ken")
    schema.write_text('{"type": "recod"}')
    text = CONFIG.replace("TOKEN", str(token)).replace("SCHEMA", str(schema)).replace("OUTBOX", str(tmp_path / "o.db"))
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    (problem,) = caught.value.problems
    assert (problem.path, problem.line) == ("sources.orders.schema_file", 10)
    assert re.search("order.avsc: not an Avro schema", problem.message)
    schema.write_text('"string"')
    load_config(file)
