"""The trace that a message belongs to: read from the message alone, so that it is the same in every process.

Source of the format: W3C Trace Context, "traceparent"; of the extension: CloudEvents, "Distributed Tracing". Pure.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.message import Message

# Also the extension in binary mode, by each binding's prefix. The header is of the last hop, and goes first.
_HEADERS = ("traceparent", "ce_traceparent", "cloudEvents:traceparent", "cloudEvents_traceparent")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_STRUCTURED = "application/cloudevents+json"
_SAMPLED = 1


class Traced(NamedTuple):
    """A message's place in its trace; ids are hexadecimal."""

    trace_id: str
    parent_id: str  # the producer's span; "" where the trace begins here
    span_id: str  # the span of the bridge's work on the message: whoever sends its calls knows it without being told


def traceparent_of(message: Message) -> str:
    """The message's own trace context; "" where it has none that is right."""
    headers = dict(message.headers)
    for name in _HEADERS:
        if name in headers and (text := _valid(headers[name])):
            return text
    return _valid(_extension(message, headers))


def _extension(message: Message, headers: Mapping[str, object]) -> object:
    """Of a CloudEvent in structured mode, decoded or not."""
    attributes = getattr(message, "ce", None)
    if attributes is not None:
        return attributes.get("traceparent")
    kind = headers.get("content-type", headers.get("Content-Type", message.attributes.get("content_type")))
    text = kind.decode("latin-1") if isinstance(kind, bytes) else kind
    if message.body is None or not isinstance(text, str) or not text.lower().startswith(_STRUCTURED):
        return None
    try:
        event = orjson.loads(message.body)
    except orjson.JSONDecodeError:
        return None
    return event.get("traceparent") if isinstance(event, dict) else None


def _valid(value: object) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return text if isinstance(text, str) and _TRACEPARENT.fullmatch(text) else ""


def traced(message: Message, ratio: float) -> Traced | None:
    """Its place, where it is to be traced: its producer sampled it, or it has none and is of the share ``ratio``."""
    known = _TRACEPARENT.fullmatch(traceparent_of(message))
    name = f"{message.source}\0{message.id}".encode("utf-8", "surrogatepass")
    if known is not None:
        trace_id, parent_id, flags = known.groups()
        return Traced(trace_id, parent_id, _span_id(trace_id, name)) if int(flags, 16) & _SAMPLED else None
    digest = hashlib.sha256(name).digest()
    if int.from_bytes(digest[:8]) >= ratio * (1 << 64):
        return None
    trace_id = digest[8:24].hex()
    return Traced(trace_id, "", _span_id(trace_id, name))


def _span_id(trace_id: str, name: bytes) -> str:
    return hashlib.sha256(trace_id.encode() + name).digest()[:8].hex()
