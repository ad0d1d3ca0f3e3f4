"""The bridge that hostile messages are sent to: every decoder, and rules of every kind over what they decode."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.decoding.schemas import CUSTOMER_FILE, ORDER_FILE, descriptor_set
from tests.hostile.generator import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridge.emulator.server import Emulator

AT = {"at": "${message_id}", "n": "${headers.?n.orValue(null)}"}  # which message a call is of
WHOLE = {**AT, "body": "${body}"}
DECODERS = {
    "json": "json",
    "text": "text",
    "raw": "raw",
    "events": "cloudevents",
    "avro": "avro",
    "protobuf": "protobuf",
}
RULES: list[dict[str, Any]] = [
    {
        "name": "good",
        "from": "good",
        "create": {"workflow": "good", "id": "g-${body.n}", "params": {"sent": "${body.sent}"}},
    },
    {"name": "dropped", "when": 'headers[?"drop"].orValue("") == "1"', "drop": "asked for"},
    {
        "name": "by-id",
        "from": ["json", "rabbit"],
        "when": "has(body.id)",
        "create": {"workflow": "ids", "id": "${body.id}", "params": WHOLE},
    },
    {
        "name": "by-total",
        "from": "json",
        "when": 'body.kind == "total" && body.total + 1 > 0',
        "create": {"workflow": "totals", "params": {**AT, "half": "${double(body.total) / 2.0}"}, "metadata": True},
    },
    {
        "name": "each-line",
        "from": ["json", "rabbit"],
        "when": 'body.kind == "lines" && size(body.lines) > 0',
        "for_each": "body.lines",
        "lane": "body.?lane.orValue(key)",
        "create": {"workflow": "lines", "id": "${safe_id(message_id)}-${index}", "params": {**AT, "line": "${item}"}},
    },
    {
        "name": "signal",
        "from": ["json", "rabbit"],
        "when": 'body.kind == "event"',
        "event": {
            "workflow": "signals",
            "id": "${body.target}",
            "type": "${body.type}",
            "payload": {**AT, "v": "${body.v}"},
            "if_missing": "create",
            "create": {"params": AT},
        },
    },
    {
        "name": "by-key",
        "from": ["text", "avro", "protobuf"],
        "create": {"workflow": "keys", "id": "k-${safe_id(key)}", "params": WHOLE},
    },
    {
        "name": "in-words",
        "from": "text",
        "when": 'body.matches("(a|x)+") || body.contains("bridge")',
        "lane": "body",
        "priority": "low",
        "create": {"workflow": "words", "params": {**AT, "words": "${json(body.split(' '))} of ${size(body)}"}},
    },
    {
        "name": "raw",
        "from": "raw",
        "when": "size(body) > 3",
        "create": {"workflow": "raw", "id": "r-${hash(body)}", "params": WHOLE, "if_exists": "fail"},
    },
    {
        "name": "event-of-clouds",
        "from": "events",
        "when": 'ce.type != ""',
        "create": {"workflow": "clouds", "id": "${ce.id}", "params": {**WHOLE, "ce": "${ce}", "h": "${header_values}"}},
    },
    {"name": "nan", "from": "avro", "when": "body.id > 1.0", "dead_letter": "a number: ${body.id}"},
    {
        "name": "order",
        "from": "protobuf",
        "create": {
            "workflow": "orders",
            "id": "o-${body.order_id}",
            "params": {**AT, "name": "${body.customer.full_name}"},
        },
    },
]


def source_of(bootstrap: str, topic: str, decode: str, folder: Path) -> dict[str, Any]:
    """One Kafka source."""
    source = {"type": "kafka", "bootstrap_servers": [bootstrap], "topics": [topic], "group_id": topic, "decode": decode}
    if decode == "avro":
        (folder / "hostile.avsc").write_text(json.dumps(SCHEMA))
        return {**source, "schema_file": str(folder / "hostile.avsc")}
    if decode == "protobuf":
        (folder / "hostile.desc").write_bytes(descriptor_set(CUSTOMER_FILE, ORDER_FILE))
        return {**source, "schema_file": str(folder / "hostile.desc"), "message": "shop.Order"}
    return source


def config(emulator: Emulator, sources: Mapping[str, dict[str, Any]], folder: Path, **more: object) -> dict[str, Any]:
    """The whole configuration."""
    (folder / "token").write_text(emulator.token)
    target = {"account_id": emulator.account_id, "base_url": emulator.base_url, "api_token_file": str(folder / "token")}
    known = set(sources)
    rules = []
    for rule in RULES:
        given = rule.get("from", [])
        wanted = [given] if isinstance(given, str) else given
        if not given or known & set(wanted):
            rules.append({**rule, **({"from": sorted(known & set(wanted))} if given else {})})
    return {"targets": {"main": target}, "sources": dict(sources), "rules": rules, **more}
