"""The variables that rules have for a message, computed only when an expression asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridge.errors import MissingField
from bridge.message import CloudEvent
from bridge.routing.jsontext import Spelling
from bridge.routing.names import Names, Variable
from bridge.routing.times import checked_timestamp

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bridge.message import HeaderValue, Message
    from bridge.routing.values import Timestamp, Value

ATTRIBUTES: Final = ("partition", "offset", "exchange", "routing_key", "queue")
_MILLISECOND = 1_000_000
# Binary mode of CloudEvents: Kafka's header prefix, and AMQP's two.
_CE_PREFIXES = ("ce_", "cloudEvents:", "cloudEvents_")

# m is a Message; its fields are read by place, which is what a named tuple is quick at.
_FIELDS: Final = {
    "body": Variable("body"),
    "key": Variable("key_of(m[3])"),
    "headers": Variable("headers_of(m)"),
    "header_values": Variable("header_values_of(m)"),
    "ce": Variable("ce_of(m)"),
    "source": Variable("m[0]", is_text=True),
    "message_id": Variable("m[1]", is_text=True),
    "channel": Variable("m[2]", is_text=True),
    "timestamp": Variable("timestamp_of(m)"),
    "vars": Variable("vars_"),
} | {name: Variable(f'attribute_of(m, "{name}")') for name in ATTRIBUTES}
_ELEMENT: Final = {"item": Variable("item"), "index": Variable("index")}


def readable(value: HeaderValue) -> Value:
    """Bytes that are UTF-8 as text; everything else as it is."""
    if type(value) is bytes:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    return value


def timestamp_of(message: Message) -> Timestamp | None:
    """The message's timestamp, null where it has none."""
    return None if message.timestamp_ms is None else checked_timestamp(message.timestamp_ms * _MILLISECOND)


def attribute_of(message: Message, name: str) -> str | int:
    """An attribute of the broker. Raises MissingField where this broker has no such thing."""
    try:
        return message.attributes[name]
    except KeyError:
        raise MissingField(f"the message has no {name}") from None


def text_of(message: Message) -> bytes | None:
    """The JSON text of a CloudEvent's data; None where the message is none."""
    return message.text if isinstance(message, CloudEvent) else None


class Headers:
    """The headers of the last message that was asked about, so that each is decoded at most once."""

    def __init__(self) -> None:
        self._of: Message | None = None
        self._last: dict[str, Value] = {}
        self._values_of: Message | None = None
        self._values: dict[str, list[Value]] = {}

    def last(self, message: Message) -> dict[str, Value]:
        """The last value of each name."""
        if self._of is not message:
            self._last = {name: readable(value) for name, value in message.headers}
            self._of = message
        return self._last

    def all(self, message: Message) -> dict[str, list[Value]]:
        """All values of each name, in order."""
        if self._values_of is not message:
            self._values = {}
            for name, value in message.headers:
                self._values.setdefault(name, []).append(readable(value))
            self._values_of = message
        return self._values

    def cloudevent(self, message: Message) -> Mapping[str, Value]:
        """The attributes of a CloudEvent; empty where the message is none.

        Those of a source that does not say ``decode: cloudevents`` are looked for in the headers (binary mode).
        """
        if isinstance(message, CloudEvent):
            return message.ce
        found: dict[str, Value] = {}
        for name, value in self.last(message).items():
            prefix = next(filter(name.startswith, _CE_PREFIXES), None)
            if prefix is not None:
                found[name.removeprefix(prefix)] = value
            elif name.lower() == "content-type" and "datacontenttype" not in found:
                found["datacontenttype"] = value
        return found if "id" in found else {}


class MessageNames:
    """The names of the rules of one generation; what is decoded for a message is shared by all of them."""

    def __init__(self, constants: Mapping[str, Value]) -> None:
        self.headers = headers = Headers()
        self._constants: dict[str, Value] = {
            "vars_": dict(constants),
            "key_of": readable,
            "headers_of": headers.last,
            "header_values_of": headers.all,
            "ce_of": headers.cloudevent,
            "timestamp_of": timestamp_of,
            "attribute_of": attribute_of,
            "part_of": Spelling().part,
            "text_of": text_of,
        }

    def names(
        self, json_sources: Collection[str], sources: Collection[str], event_sources: Collection[str] = ()
    ) -> Names:
        """The names of a rule for these sources.

        Those in ``json_sources`` have JSON text for a body; messages of those in ``event_sources`` are CloudEvents,
        which know the JSON text of their data.
        """
        raw = "(m[5] if m[0] in json_sources else None)" if set(json_sources) & set(sources) else ""
        if set(sources) <= set(json_sources):
            raw = "m[5]"
        elif set(event_sources) & set(sources):
            raw = "(m[5] if m[0] in json_sources else text_of(m))"
        constants = self._constants | {"json_sources": frozenset(json_sources)}
        return Names("m, body, item=None, index=0", _FIELDS, constants, raw)


def with_element(names: Names, item_path: tuple[str | int, ...] | None) -> Names:
    """The names inside a ``for_each``: ``item`` and ``index`` are there too."""
    return names._replace(variables={**names.variables, **_ELEMENT}, item_path=item_path)
