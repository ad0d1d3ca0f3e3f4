"""``_bridge``: what a call's object says of the message that it comes from, so that a workflow can drop a duplicate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.message import CloudEvent
from bridge.routing.jsontext import encode, spelled
from bridge.tracing.context import traceparent_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.message import Message

KEY = "_bridge"
_MARK = b'"_bridge"'
_SPACE = b" \t\r\n"


def with_metadata(rule: str, *, per_element: bool) -> Callable[[bytes, Message, int], bytes]:
    """A function that adds ``_bridge`` to the JSON of an object, and leaves any other JSON as it is.

    The id names the message, and the element where the rule has ``for_each``: the same for every repetition of one
    call, another for every other call of the rule.
    """
    middles: dict[str, bytes] = {}
    tail = b',"rule":' + encode(rule)

    def add(encoded: bytes, message: Message, index: int) -> bytes:
        opened = encoded.strip(_SPACE)
        if not opened.startswith(b"{"):
            return encoded
        if _MARK in opened:
            opened = _without(opened)
        source = message.source
        if source not in middles:
            middles[source] = b',"source":' + encode(source) + tail
        identity = f"{message.id}#{index}" if per_element else message.id
        inside = opened[:-1].rstrip(_SPACE)
        comma = b"" if inside.endswith(b"{") else b","
        traced = _trace(message) if message.headers or isinstance(message, CloudEvent) else b""
        return b"".join((inside, comma, b'"_bridge":{"id":', encode(identity), middles[source], traced, b"}}"))

    return add


def _without(encoded: bytes) -> bytes:
    """The object without a ``_bridge`` that it brought along."""
    parsed = spelled(encoded)
    parsed.pop(KEY, None)
    return encode(parsed)


def _trace(message: Message) -> bytes:
    """The message's trace context, if it has a valid one."""
    text = traceparent_of(message)
    return b',"traceparent":"' + text.encode() + b'"' if text else b""
