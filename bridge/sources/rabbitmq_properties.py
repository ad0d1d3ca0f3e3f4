"""From deliveries to messages: reads the properties of an AMQP 0-9-1 content header."""

from __future__ import annotations

import hashlib
from datetime import datetime
from struct import Struct
from struct import error as StructError  # noqa: N812  a class, named like one
from typing import TYPE_CHECKING, Any

import orjson

from bridge.message import Message
from bridge.sources.rabbitmq_tables import table, timestamp_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.message import HeaderValue
    from bridge.sources.rabbitmq_frames import Delivery

SECONDS = Struct(">Q")

# In the order of their flag bits, from bit 15 down (specification, section 4.2.6.1).
PROPERTIES = (
    *("content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id", "reply_to"),
    *("expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id"),
)
# Attributes of a message; the others have places of their own, or say how the broker keeps it.
ATTRIBUTES = frozenset(PROPERTIES) - {"headers", "message_id", "timestamp", "delivery_mode", "cluster_id"}


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    return data[at + 1 : end].decode("utf-8", "replace"), end


def _octet(data: bytes, at: int) -> tuple[int, int]:
    return data[at], at + 1


def _seconds(data: bytes, at: int) -> tuple[int, int]:
    return SECONDS.unpack_from(data, at)[0], at + SECONDS.size


_OTHERS: Mapping[str, Callable[[bytes, int], tuple[Any, int]]] = {
    "headers": table,
    "delivery_mode": _octet,
    "priority": _octet,
    "timestamp": _seconds,
}
_READERS = [(1 << 15 - bit, name, _OTHERS.get(name, _text)) for bit, name in enumerate(PROPERTIES)]
_BY_FLAGS: dict[int, list[tuple[str, Callable[[bytes, int], tuple[Any, int]]]]] = {}


def properties(flags: int, data: bytes) -> dict[str, Any]:
    """Those that are present, by name, up to the first that cannot be read."""
    readers = _BY_FLAGS.get(flags)
    if readers is None:  # a queue's messages mostly have the same ones: a handful of entries, 2 ** 14 at most
        readers = _BY_FLAGS[flags] = [(name, read) for bit, name, read in _READERS if flags & bit]
    found: dict[str, Any] = {}
    at = 0
    try:
        for name, read in readers:
            found[name], at = read(data, at)
    except (ValueError, IndexError, StructError):
        pass  # it says where the others begin
    return found


def header_value(value: Any) -> HeaderValue:  # noqa: ANN401  whatever a table can hold
    """A value of a table as one of ours: times as ISO 8601 text, lists and tables as JSON text."""
    if value is None or isinstance(value, bytes | str | int | float):
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return orjson.dumps(value, default=_json).decode() if isinstance(value, list | dict) else str(value)


def _json(value: Any) -> str:  # noqa: ANN401  whatever a table can hold
    return bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)


def message_of(source: str, queue: str, delivery: Delivery, number: int, *, body_hash: bool) -> Message:
    """The message of one delivery.

    number: counts the connections, so that two deliveries never share a made-up id. body_hash: a message without a
    message id is known by the hash of its body.
    """
    _, redelivered, _, exchange, routing_key, flags, data, body = delivery
    found = properties(flags, data)
    key = routing_key.decode("utf-8", "replace")
    attributes: dict[str, str | int] = {"queue": queue, "exchange": exchange.decode("utf-8", "replace")}
    attributes["routing_key"] = key
    attributes |= {name: value for name, value in found.items() if name in ATTRIBUTES}
    headers = found.get("headers")
    has_identity = bool(found.get("message_id")) or body_hash
    return Message(
        source,
        found.get("message_id") or _made_up(queue, delivery, number, body_hash=body_hash),
        key,
        None,
        [(name, header_value(value)) for name, value in headers.items()] if headers else (),
        body,
        timestamp_ms(found["timestamp"]) if "timestamp" in found else None,
        attributes,
        redelivered,
        has_identity,
    )


def _made_up(queue: str, delivery: Delivery, number: int, *, body_hash: bool) -> str:
    if body_hash:
        return f"{queue}/{hashlib.sha256(delivery.body).hexdigest()[:32]}"
    return f"{queue}/{number}-{delivery.tag}"
