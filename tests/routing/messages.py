"""Messages and routers for the tests of routing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from bridge.message import HeaderValue, Message
from bridge.routing.router import Routed, Router, SourceInfo
from bridge.routing.settings import RuleSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.call import Call
    from bridge.routing.values import Value

SOURCES = (SourceInfo("orders"), SourceInfo("payments", unmatched="dead-letter", kind="rabbitmq"))
NOW_MS = 1_700_000_000_000


def message(
    body: bytes | None = b"{}",
    *,
    offset: int = 0,
    key: bytes | None = None,
    headers: Sequence[tuple[str, HeaderValue]] = (),
    source: str = "orders",
    has_identity: bool = True,
) -> Message:
    """A message as Kafka's source makes it."""
    attributes: Mapping[str, str | int] = {"partition": 0, "offset": offset}
    identity = f"shop.orders/0/{offset}"
    return Message(
        source, identity, "shop.orders", key, headers, body, 1_600_000_000_123, attributes, has_identity=has_identity
    )


def rules(*settings: Mapping[str, Value]) -> list[RuleSettings]:
    """Rules as a user writes them; those without a name get one."""
    return [RuleSettings.model_validate({"name": f"r{place}", **rule}) for place, rule in enumerate(settings)]


def router(*settings: Mapping[str, Value], targets: Sequence[str] = ("main",), **constants: Value) -> Router:
    """A router over the two sources."""
    return Router(rules(*settings), vars=constants, sources=SOURCES, targets=targets)


def route(made: Router, *messages: Message, source: str = "orders") -> Routed:
    """Route messages whose bodies are JSON."""
    values = [None if item.body is None else orjson.loads(item.body) for item in messages]
    return made.route(source, messages, values, NOW_MS)


CREATE = {"workflow": "w", "id": "order-${body.id}", "params": "${body}"}


def calls(routed: Routed) -> list[Call]:
    """The calls without their messages."""
    return [call for _, call in routed.calls]


def only(routed: Routed) -> Call:
    """The one call, of a message that nothing was wrong with."""
    assert routed.dead == []
    (call,) = calls(routed)
    return call


def reasons(routed: Routed) -> list[tuple[str, str]]:
    """Rule and reason of each dead letter."""
    return [(rejected.rule, rejected.reason) for rejected in routed.dead]
