"""CloudEvents 1.0 over Kafka and AMQP: the data is the body, the attributes are the message's ``ce``.

Structured mode (content type ``application/cloudevents+json``) has everything in the body; binary mode has the
attributes in headers (Kafka ``ce_``, AMQP ``cloudEvents:`` or ``cloudEvents_``) and the data in the body. Sources:
github.com/cloudevents/spec, v1.0.2, spec.md, json-format.md, kafka-protocol-binding.md and amqp-protocol-binding.md.
"""

from __future__ import annotations

import re
from base64 import b64decode
from functools import cached_property
from typing import TYPE_CHECKING

import orjson

from bridge.decoding.base import Decoded
from bridge.decoding.json import decode_json
from bridge.errors import RuleError, Undecodable
from bridge.message import CloudEvent
from bridge.routing.times import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.message import HeaderValue, Message

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch"
VERSION = "1.0"
REQUIRED = ("id", "source", "type")
_TEXTS = frozenset((*REQUIRED, "specversion", "subject", "dataschema", "datacontenttype"))
_PREFIXES = ("ce_", "cloudEvents:", "cloudEvents_")
_JSON = re.compile(r"[^/;\s]+/(?:[^/;\s]+\+)?json\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]', re.DOTALL)


class _Structured(CloudEvent):
    """An event whose data is a member of the body."""

    @cached_property
    def text(self) -> bytes | None:
        """The JSON text of the data, as it stands in the body."""
        return None if self.body is None else member_text(self.body, b"data")


class CloudEventDecoder:
    """See bridge.decoding.base.Decoder."""

    async def prepare(self, messages: Sequence[Message]) -> None:
        """Nothing is needed."""

    def decode(self, messages: Sequence[Message]) -> Decoded:
        """See Decoder."""
        events: list[Message] = []
        values: list[object] = []
        failed: dict[int, str] = {}
        for message in messages:
            try:
                event, value = decode_event(message)
            except Undecodable as error:
                failed[len(values)] = str(error)
                event, value = message, None
            events.append(event)
            values.append(value)
        return Decoded(events, values, failed)

    async def close(self) -> None:
        """Nothing is held."""


def decode_event(message: Message) -> tuple[Message, object]:
    """The event that a message is, and its data. A tombstone without attributes is only itself. Raises Undecodable."""
    headers = {name.lower() if name.lower() == "content-type" else name: value for name, value in message.headers}
    content_type = _text(headers.get("content-type", message.attributes.get("content_type")), "the content type")
    mode = content_type.partition(";")[0].strip().lower()
    if mode == STRUCTURED:
        return (message, None) if message.body is None else _structured(message)
    if mode.startswith(BATCHED):
        raise Undecodable("a batch of CloudEvents; the bindings for Kafka and AMQP have none: send each by itself")
    if mode.startswith("application/cloudevents"):
        raise Undecodable(f"a CloudEvent in a format that is not supported; only {STRUCTURED} is")
    return _binary(message, headers, content_type)


def _binary(message: Message, headers: Mapping[str, HeaderValue], content_type: str) -> tuple[Message, object]:
    found: dict[str, object] = {}
    for name, value in headers.items():
        prefix = next(filter(name.startswith, _PREFIXES), None)
        if prefix is not None:
            attribute = name.removeprefix(prefix)
            found[attribute] = _text(value, f"the attribute {attribute}") if isinstance(value, bytes) else value
    if not found:
        if message.body is None:
            return message, None
        raise Undecodable(f"no CloudEvent: neither the content type {STRUCTURED} nor attributes in headers")
    if content_type:
        found["datacontenttype"] = content_type
    attributes = _checked(found)
    return _event(CloudEvent, message, attributes), _data(message.body, attributes.get("datacontenttype"))


def _structured(message: Message) -> tuple[Message, object]:
    value = decode_json(message.body)
    if type(value) is not dict:
        raise Undecodable("no CloudEvent: the body is no JSON object")
    data, encoded = value.pop("data", None), value.pop("data_base64", None)
    if encoded is not None:
        if data is not None:
            raise Undecodable("a CloudEvent with both data and data_base64")
        data = _from_base64(encoded)
    return _event(_Structured, message, _checked(value)), data


def _event(kind: type[CloudEvent], message: Message, attributes: dict[str, object]) -> CloudEvent:
    event = kind._make(message)
    event.ce = attributes
    return event


def _checked(found: dict[str, object]) -> dict[str, object]:
    """The attributes with their types; those that are null are not there."""
    attributes = {name: value for name, value in found.items() if value is not None}
    version = attributes.get("specversion")
    if version != VERSION:
        said = "no specversion" if version is None else f"a specversion other than {VERSION}"
        raise Undecodable(f"no CloudEvent: it has {said}")
    for name in REQUIRED:
        if not attributes.get(name):
            raise Undecodable(f"no CloudEvent: it has no {name}")
    for name in _TEXTS & attributes.keys():
        if type(attributes[name]) is not str:
            raise Undecodable(f"a CloudEvent whose attribute {name} is no text")
    if "time" in attributes:
        attributes["time"] = _time(attributes["time"])
    return attributes


def _time(value: object) -> object:
    try:
        return parse_timestamp(value if isinstance(value, str) else "")
    except RuleError:
        raise Undecodable("a CloudEvent whose time is no RFC 3339 timestamp") from None


def _text(value: HeaderValue, what: str) -> str:
    """A header as text; "" where there is none."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Undecodable(f"{what} is not UTF-8") from None
    return "" if value is None else str(value)


def _data(body: bytes | None, content_type: object) -> object:
    """The data of an event in binary mode: JSON where its type says so, or says nothing and the bytes are."""
    if body is None:
        return None
    if isinstance(content_type, str):
        return decode_json(body) if _JSON.fullmatch(content_type.strip()) else _readable(body)
    try:
        return decode_json(body)
    except Undecodable:
        return _readable(body)


def _readable(body: bytes) -> str | bytes:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


def _from_base64(encoded: object) -> bytes:
    try:
        return b64decode(encoded if isinstance(encoded, str) else "?", validate=True)
    except ValueError:
        raise Undecodable("a CloudEvent whose data_base64 is no Base64") from None


def member_text(body: bytes, name: bytes) -> bytes | None:
    """The text of a member of a JSON object; of the last one where there are several, None where there is none.

    body: the valid JSON text of an object.
    """
    found, start, depth = None, -1, 0
    before = b""
    for token in _TOKEN.finditer(body):
        mark = token[0]
        if mark in b"[{":
            depth += 1
        elif depth == 1 and mark == b":" and start < 0:
            start = token.end() if _is_name(before, name) else -1
        elif depth == 1 and mark in b",}" and start >= 0:
            found, start = body[start : token.start()].strip(b" \t\r\n"), -1
        if mark in b"]}":
            depth -= 1
        before = mark
    return found


def _is_name(token: bytes, name: bytes) -> bool:
    """Whether a string's text is this name, however it is spelled."""
    return token[1:-1] == name or (b"\\" in token and bool(orjson.loads(token) == name.decode()))
