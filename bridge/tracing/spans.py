"""Spans as plain values, and those of intake; named as OpenTelemetry's conventions for messaging have it. Pure."""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from bridge.call import Policy
from bridge.tracing.context import Traced, traced

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bridge.call import Call
    from bridge.message import Message

    Value = str | int | float | bool | Sequence[str]


class Kind(StrEnum):
    """What a span is to those around it."""

    CONSUMER = "consumer"
    CLIENT = "client"


class Span(NamedTuple):
    """One span that has ended."""

    name: str
    kind: Kind
    began_ms: int  # Unix epoch
    ended_ms: int
    attributes: Mapping[str, Value]
    trace_id: str = ""  # hexadecimal, as all ids; "" for a trace of its own
    parent_id: str = ""  # "" where the trace begins with it
    span_id: str = ""  # "": any
    links: Sequence[Traced] = ()  # the bridge's spans of these messages
    error: str = ""  # a bounded reason


class Taken(NamedTuple):
    """What a batch of messages became."""

    messages: Sequence[Message]
    calls: Iterable[tuple[Message, Call]]
    dead: Iterable[tuple[Message, str]]  # with its reason
    began_ms: int
    ended_ms: int


def process_spans(taken: Taken, ratio: float) -> Iterator[Span]:
    """One for each message that is traced."""
    placed = {id(message): (message, place) for message in taken.messages if (place := traced(message, ratio))}
    rules: dict[int, list[str]] = defaultdict(list)
    for message, call in taken.calls if placed else ():
        if id(message) in placed:
            rules[id(message)].append(Policy.decode(call.policy).rule)
    reasons = {id(message): reason for message, reason in taken.dead} if placed else {}
    for key, (message, place) in placed.items():
        made = rules[key]
        attributes = {
            **_about(message),
            "workflow_bridge.calls": len(made),
            "workflow_bridge.rules": list(dict.fromkeys(made)),
        }
        yield Span(
            f"process {message.channel}", Kind.CONSUMER, taken.began_ms, taken.ended_ms, attributes, *place,
            error=reasons.get(key, ""),
        )  # fmt: skip


def _about(message: Message) -> dict[str, Value]:
    """What the conventions for Kafka and RabbitMQ want to know."""
    attributes = message.attributes
    found: dict[str, Value] = {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": message.channel,
        "messaging.message.body.size": len(message.body or b""),
        "workflow_bridge.source": message.source,
        "workflow_bridge.message_id": message.id,
    }
    if "offset" in attributes:
        return found | {
            "messaging.system": "kafka",
            "messaging.kafka.offset": attributes["offset"],
            "messaging.destination.partition.id": str(attributes.get("partition", "")),
        }
    return found | {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": str(attributes.get("exchange", "")) or message.channel,
        "messaging.rabbitmq.destination.routing_key": str(attributes.get("routing_key", message.channel)),
    }
