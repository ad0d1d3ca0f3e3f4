"""Messages for the tests of decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.decoding import DecodingSettings, decoder
from bridge.errors import Undecodable
from bridge.message import HeaderValue, Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def message(
    body: bytes | None, *headers: tuple[str, HeaderValue], attributes: Mapping[str, str | int] | None = None
) -> Message:
    """A message with what codecs look at."""
    return Message("orders", "t/0/1", "t", None, headers, body, None, attributes or {"partition": 0, "offset": 1})


def decoded(settings: DecodingSettings, one: Message) -> object:
    """The value of a message. Raises Undecodable."""
    found = decoder(settings).decode([one])
    for why in found.failed.values():
        raise Undecodable(why)
    return found.values[0]


def event(one: Message) -> tuple[Message, object]:
    """A CloudEvent and its data. Raises Undecodable."""
    found = decoder(DecodingSettings.model_validate({"decode": "cloudevents"})).decode([one])
    for why in found.failed.values():
        raise Undecodable(why)
    return found.messages[0], found.values[0]


def headers(pairs: Sequence[str]) -> list[tuple[str, HeaderValue]]:
    """Kafka headers from "name: value" lines."""
    return [(name, value.encode()) for name, _, value in (pair.partition(": ") for pair in pairs)]
