"""From a message to JSON that holds it to the byte; ``reading`` is the way back."""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from bridge.message import HeaderValue, Message

_TYPES = {str: "text", bool: "bool", int: "int", float: "float", type(None): "null"}


def plain(message: Message) -> dict[str, Any]:
    """Everything of a message as values that orjson has words for, each field present.

    Bytes become ``{"text": …}`` where they are UTF-8, else ``{"base64": …}``; a body that is JSON has its value under
    ``json`` too, with every number as it is spelled. A tombstone's body is null. Headers are in order, each with its
    type.
    """
    return {
        "source": message.source,
        "id": message.id,
        "channel": message.channel,
        "key": None if message.key is None else text_or_base64(message.key),
        "headers": [_header(name, value) for name, value in message.headers],
        "body": None if message.body is None else body_with_json(message.body),
        "timestamp_ms": message.timestamp_ms,
        "attributes": dict(message.attributes),
        "redelivered": message.redelivered,
        "has_identity": message.has_identity,
    }


def encode(message: Message) -> bytes:
    """One line of JSON without a line break. What has its ordinary value is left out.

    A body that is JSON in the spelling of a JSON encoder stands there once, as ``{"json": …}``.
    """
    whole: dict[str, Any] = {
        name: value for name, value in plain(message).items() if name not in _ORDINARY or value != _ORDINARY[name]
    }
    body = message.body
    if body is not None:
        whole["body"] = exact_body(body)
    try:
        return orjson.dumps(whole)
    except TypeError:  # text with half of a surrogate pair: only escapes can say that
        if "json" in (whole["body"] or {}):
            whole["body"] = text_or_base64(body or b"")
        return json.dumps(whole, separators=(",", ":")).encode()


_ORDINARY: dict[str, Any] = {
    "key": None,
    "headers": [],
    "timestamp_ms": None,
    "attributes": {},
    "redelivered": False,
    "has_identity": True,
}


def text_or_base64(value: bytes) -> dict[str, str]:
    """Bytes as a mapping of one entry."""
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def body_with_json(body: bytes) -> dict[str, Any]:
    """The bytes, and what they say if they are JSON: the text itself, whose line breaks are only between its values."""
    held: dict[str, Any] = dict(text_or_base64(body))
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return held
    return {**held, "json": orjson.Fragment(body.replace(b"\r", b" ").replace(b"\n", b" "))}


def exact_body(body: bytes) -> dict[str, Any]:
    """Bytes that ``reading`` has again to the byte: as JSON where it is in an encoder's own spelling."""
    return {"json": orjson.Fragment(body)} if _is_compact(body) else text_or_base64(body)


def _is_compact(body: bytes) -> bool:
    """Whether a reader that parses the body and encodes it has the same bytes again."""
    try:
        return orjson.dumps(orjson.loads(body)) == body
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return False


def _header(name: str, value: HeaderValue) -> dict[str, Any]:
    """A header with the type of its value."""
    if isinstance(value, bytes):
        return {"name": name, "type": "bytes", **text_or_base64(value)}
    return {"name": name, "type": _TYPES.get(type(value), type(value).__name__), "value": _exact(value)}


def _exact(value: HeaderValue) -> object:
    """The value, or its text where JSON would change it: NaN, infinity, integers beyond 64 bits."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else str(value)
    return value
