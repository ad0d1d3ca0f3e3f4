"""What the actions of rules become: functions from a message to a checked call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import orjson

from bridge.call import HIGH, LOW, NORMAL, Call, IfMissing, Operation, Policy
from bridge.errors import RenderError
from bridge.routing import preflight
from bridge.routing.conversions import to_string
from bridge.routing.metadata import KEY, with_metadata
from bridge.routing.values import Timestamp, Value, type_name

if TYPE_CHECKING:
    from bridge.message import Message
    from bridge.routing.blueprint import Blueprint, Text
    from bridge.routing.settings import CreateAction, EventAction, Retention, RuleSettings, StatusAction

Make = Callable[["Message", Value, Value, int, int], Call]
"""(message, body, item, index, now_ms) -> Call; raises RuleError. Outside of for_each the element is None, 0."""

_PRIORITIES = {"high": HIGH, "normal": NORMAL, "low": LOW}
_MILLISECOND = timedelta(milliseconds=1)
_CREATE = Operation.CREATE  # a member costs more to look up than anything else in making a call
_new = tuple.__new__  # one call fewer than Call(…), which is a Python function around it


class _Order(NamedTuple):
    """What all calls of a rule have in common."""

    target: str
    policy: str
    priority: int
    lane: Callable[..., str] | None
    due_ms: Callable[..., int] | None  # (message, body, item, index, now_ms)


def maker_of(rule: RuleSettings, target: str, blueprint: Blueprint) -> Make | None:
    """The function of a rule's action; None for one that makes no calls. Mistakes are noted in the blueprint."""
    if rule.create is not None:
        return _create(rule, rule.create, _order(rule, target, blueprint, {}), blueprint)
    if rule.event is not None:
        missing = rule.event.if_missing
        changes = {"resend_unknown": rule.event.on_unknown == "resend"}
        return _event(rule, rule.event, _order(rule, target, blueprint, _missing(missing) | changes), blueprint)
    if rule.status is not None:
        changes = _missing(rule.status.if_missing)
        return _status(rule.status, _order(rule, target, blueprint, changes), blueprint)
    return None


def _missing(setting: Value) -> dict[str, Value]:
    if setting.kind is IfMissing.WAIT:
        return {"if_missing": setting.kind, "wait_seconds": setting.wait.total_seconds()}
    return {"if_missing": setting.kind}


def _order(rule: RuleSettings, target: str, blueprint: Blueprint, changes: dict[str, Value]) -> _Order:
    policy = Policy(
        rule.name,
        give_up_after_seconds=rule.give_up_after.total_seconds(),
        max_attempts=rule.max_attempts or 0,
    )._replace(**changes)
    return _Order(target, policy.encode(), _PRIORITIES[rule.priority], _lane(rule, blueprint), _due(rule, blueprint))


def _lane(rule: RuleSettings, blueprint: Blueprint) -> Callable[..., str] | None:
    if rule.lane is None:
        return None
    function = blueprint.expression("lane", rule.lane)
    return lambda message, body, item, index: to_string(function(message, body, item, index))


def _due(rule: RuleSettings, blueprint: Blueprint) -> Callable[..., int] | None:
    if rule.delay is not None:
        delay_ms = rule.delay // _MILLISECOND
        return lambda _message, _body, _item, _index, now_ms: now_ms + delay_ms
    if rule.not_before is None:
        return None
    function = blueprint.expression("not_before", rule.not_before)

    def due(message: Message, body: Value, item: Value, index: int, _now_ms: int) -> int:
        value = function(message, body, item, index)
        if type(value) is not Timestamp:
            raise RenderError(f"not_before must be a timestamp, not a {type_name(value)}; use timestamp(x)")
        return max(0, -(-value.ns // 1_000_000))

    return due


def _place(blueprint: Blueprint, action: str, workflow: str, instance_id: str | None) -> tuple[Text, Text | None]:
    """The two fields that name the instance."""
    name = blueprint.text(f"{action}.workflow", workflow, preflight.is_workflow, preflight.bad_workflow)
    if instance_id is None:
        return name, None
    return name, blueprint.text(f"{action}.id", instance_id, preflight.is_instance_id, preflight.bad_id)


def _checked(name: str, check: Callable[[str], object], why: Callable[[str], RenderError]) -> str:
    if not check(name):
        raise why(name)
    return name


def default_id(rule: str) -> Callable[..., str]:
    """Ids for a rule without ``id``: a hash of source, message, rule and element, the same whenever it comes again."""
    tail = b"\0" + rule.encode() + b"\0"

    def make(message: Message, _body: Value, _item: Value, index: int) -> str:
        if not message.has_identity:
            raise RenderError(
                "the message has no identity to make an id of; give the rule an id, or its producer a message_id",
                "no_identity",
            )
        named = f"{message.source}\0{message.id}".encode("utf-8", "surrogatepass")
        return sha256(named + tail + str(index).encode()).hexdigest()[:40]

    return make


def _create(rule: RuleSettings, action: CreateAction, order: _Order, blueprint: Blueprint) -> Make:
    workflow, given_id = _place(blueprint, "create", action.workflow, action.id)
    fixed, workflow_of = workflow.fixed, workflow.of
    id_of = given_id.of if given_id is not None else default_id(rule.name)
    middle, params_of = _params(rule, action, blueprint)
    opening, closing = b'{"instance_id":"', _closing(action)
    target, policy, priority, lane_of, due_of = order
    is_id, largest = preflight.is_instance_id, preflight.LARGEST_BODY

    def make(message: Message, body: Value, item: Value, index: int, now_ms: int) -> Call:
        instance_id = id_of(message, body, item, index)
        if not is_id(instance_id):
            raise preflight.bad_id(instance_id)
        blob = opening + instance_id.encode() + middle + params_of(message, body, item, index) + closing
        if len(blob) > largest:
            raise preflight.too_large(len(blob))
        name = fixed or _checked(workflow_of(message, body, item, index), preflight.is_workflow, preflight.bad_workflow)
        lane = lane_of(message, body, item, index) if lane_of else ""
        due_ms = due_of(message, body, item, index, now_ms) if due_of else 0
        values = (_CREATE, target, name, instance_id, "", blob, policy, lane, priority, due_ms)
        return _new(Call, values)

    return make


def _params(rule: RuleSettings, action: CreateAction, blueprint: Blueprint) -> tuple[bytes, Callable[..., bytes]]:
    """What follows the id: the end of its string, and then the params."""
    if action.params is None and not action.metadata:
        return b'"', lambda *_: b""
    encoded = blueprint.json("create.params", {} if action.params is None else action.params)
    if action.metadata:
        _refuse_own_key(blueprint, "create.params", action.params)
        encoded = _marked(encoded, rule)
    if action.params_encoding == "string":
        return b'","params":', lambda *arguments: orjson.dumps(encoded(*arguments).decode())
    return b'","params":', encoded


def _marked(encoded: Callable[..., bytes], rule: RuleSettings) -> Callable[..., bytes]:
    """The same JSON with ``_bridge`` in it."""
    add = with_metadata(rule.name, per_element=rule.for_each is not None)
    return lambda message, body, item, index: add(encoded(message, body, item, index), message, index)


def _closing(action: CreateAction) -> bytes:
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


def _event(rule: RuleSettings, action: EventAction, order: _Order, blueprint: Blueprint) -> Make:
    workflow, instance = _place(blueprint, "event", action.workflow, action.id)
    kind = blueprint.text("event.type", action.type, preflight.is_event_type, preflight.bad_event_type)
    payload_of = blueprint.json("event.payload", action.payload)
    if action.metadata:
        _refuse_own_key(blueprint, "event.payload", action.payload)
        payload_of = _marked(payload_of, rule)
    addressed = _addressed(Operation.EVENT, order, workflow, instance, kind)

    def make(message: Message, body: Value, item: Value, index: int, now_ms: int) -> Call:
        payload = payload_of(message, body, item, index)
        if len(payload) > preflight.LARGEST_BODY:
            raise preflight.too_large(len(payload))
        return addressed(message, body, item, index, now_ms, payload)

    return make


def _status(action: StatusAction, order: _Order, blueprint: Blueprint) -> Make:
    workflow, instance = _place(blueprint, "status", action.workflow, action.id)
    change: dict[str, Value] = {"status": action.to}
    if action.rollback is not None:
        change["rollback"] = action.rollback
    if action.from_ is not None:
        change["from"] = action.from_.model_dump(exclude_none=True)
    body_of = blueprint.json("status", change)
    addressed = _addressed(Operation.STATUS, order, workflow, instance, None)
    return lambda message, body, item, index, now_ms: addressed(
        message, body, item, index, now_ms, body_of(message, body, item, index)
    )


def _addressed(
    operation: Operation, order: _Order, workflow: Text, instance: Text | None, kind: Text | None
) -> Callable[..., Call]:
    """A call of an instance that is there already, from its encoded body."""
    id_of = instance.of if instance is not None else _no_id
    fixed, workflow_of = workflow.fixed, workflow.of
    fixed_kind, kind_of = ("", _no_id) if kind is None else (kind.fixed, kind.of)
    target, policy, priority, lane_of, due_of = order

    def make(message: Message, body: Value, item: Value, index: int, now_ms: int, blob: bytes) -> Call:
        place = (message, body, item, index)
        instance_id = _checked(id_of(*place), preflight.is_instance_id, preflight.bad_id)
        name = fixed or _checked(workflow_of(*place), preflight.is_workflow, preflight.bad_workflow)
        event_type = fixed_kind
        if event_type is None:
            event_type = _checked(kind_of(*place), preflight.is_event_type, preflight.bad_event_type)
        lane = lane_of(*place) if lane_of else ""
        due_ms = due_of(*place, now_ms) if due_of else 0
        return _new(Call, (operation, target, name, instance_id, event_type, blob, policy, lane, priority, due_ms))

    return make


def _no_id(*_: Value) -> str:
    return ""
