"""The JSON that calls send: params and what goes with them, payloads, and ``_bridge`` in either."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from bridge.call import IfExists
from bridge.errors import RenderError
from bridge.routing import preflight
from bridge.routing.metadata import KEY, with_metadata
from bridge.routing.syntax import ExpressionError
from bridge.routing.template import is_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.message import Message
    from bridge.routing.blueprint import Blueprint
    from bridge.routing.settings import CreateAction, Creation, Payload, Retention, RuleSettings
    from bridge.routing.values import Value

OPENING = b'{"instance_id":"'


class Pieces(NamedTuple):
    """What stands behind the id in the body of a create."""

    middle: bytes  # the end of the id's string, and what goes before the params
    params: Callable[..., bytes]
    closing: bytes  # the same for every call

    def body(self, instance_id: str, *arguments: Value) -> bytes:
        """The whole. Raises RuleError."""
        return OPENING + instance_id.encode() + self.middle + self.params(*arguments) + self.closing


def creation(rule: RuleSettings, action: Creation, blueprint: Blueprint, field: str) -> Pieces:
    """Of ``field``, the action or a part of it. Mistakes are noted in the blueprint."""
    middle, params = _params(rule, action, blueprint, f"{field}.params")
    return Pieces(middle, params, _closing(action))


def own_creation(rule: RuleSettings, action: CreateAction, blueprint: Blueprint) -> Pieces:
    """The same of a rule to which it matters who made an instance: its params always have ``_bridge``."""
    if not _may_be_object(action.params):
        blueprint.problem(
            "create.params",
            f"if_exists: {action.if_exists} needs params that are an object: by the _bridge in them the bridge knows "
            "what it made itself",
        )
    return creation(rule, action, blueprint, "create")


def _may_be_object(params: Value) -> bool:
    try:
        return params is None or isinstance(params, dict) or is_whole(params)
    except ExpressionError:
        return True  # noted where it is compiled


def _params(
    rule: RuleSettings, action: Creation, blueprint: Blueprint, field: str
) -> tuple[bytes, Callable[..., bytes]]:
    """What follows the id: the end of its string, and then the params."""
    strict = getattr(action, "if_exists", IfExists.SKIP) is not IfExists.SKIP
    marked = action.metadata or strict
    if action.params is None and not marked:
        return b'"', lambda *_: b""
    encoded = blueprint.json(field, {} if action.params is None else action.params)
    if marked:
        _refuse_own_key(blueprint, field, action.params)
        encoded = _marked(encoded, rule, strict=strict)
    if action.params_encoding == "string":
        return b'","params":', lambda *arguments: orjson.dumps(encoded(*arguments).decode())
    return b'","params":', encoded


def payload(rule: RuleSettings, action: Payload, blueprint: Blueprint, field: str) -> Callable[..., bytes]:
    """What an event carries, at most 1 MiB. The function raises RuleError."""
    encoded = blueprint.json(f"{field}.payload", action.payload)
    if action.metadata:
        _refuse_own_key(blueprint, f"{field}.payload", action.payload)
        encoded = _marked(encoded, rule)

    def made(*arguments: Value) -> bytes:
        body = encoded(*arguments)
        if len(body) > preflight.LARGEST_BODY:
            raise preflight.too_large(len(body))
        return body

    return made


def _marked(encoded: Callable[..., bytes], rule: RuleSettings, *, strict: bool = False) -> Callable[..., bytes]:
    """The same JSON with ``_bridge`` in it; where it is ``strict``, JSON that cannot have it is an error."""
    add = with_metadata(rule.name, per_element=rule.for_each is not None)

    def made(message: Message, body: Value, item: Value, index: int) -> bytes:
        return add(encoded(message, body, item, index), message, index)

    def made_or_refused(message: Message, body: Value, item: Value, index: int) -> bytes:
        plain = encoded(message, body, item, index)
        marked = add(plain, message, index)
        if marked is plain:
            raise RenderError("params must be an object: if_exists puts _bridge into them")
        if not message.has_identity:
            raise RenderError(
                "the message has no identity by which if_exists could know what it made before; give its producer a "
                "message_id",
                "no_identity",
            )
        return marked

    return made_or_refused if strict else made


def _closing(action: Creation) -> bytes:
    """What follows the params, the same for every call."""
    rest: dict[str, Value] = {}
    if action.retention is not None:
        rest["instance_retention"] = _retention(action.retention)
    if action.location_hint is not None:
        rest["location_hint"] = action.location_hint
    return b"," + orjson.dumps(rest)[1:] if rest else b"}"


def _retention(retention: Retention) -> dict[str, Value]:
    given = {"success_retention": retention.success, "error_retention": retention.error}
    return {name: value for name, value in given.items() if value is not None}


def _refuse_own_key(blueprint: Blueprint, field: str, value: Value) -> None:
    if isinstance(value, dict) and KEY in value:
        blueprint.problem(f"{field}.{KEY}", f"{KEY} is added by the bridge; set metadata: false to write your own")
