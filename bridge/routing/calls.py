"""What the actions of rules become: functions from a message to a checked call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from bridge.call import HIGH, LOW, NORMAL, Call, IfExists, IfMissing, Operation, Policy, two_bodies
from bridge.errors import RenderError
from bridge.routing import preflight
from bridge.routing.bodies import OPENING, creation, own_creation, payload
from bridge.routing.conversions import to_string
from bridge.routing.settings import Creation
from bridge.routing.values import Timestamp, Value, type_name

if TYPE_CHECKING:
    from bridge.message import Message
    from bridge.routing.blueprint import Blueprint, Text
    from bridge.routing.bodies import Pieces
    from bridge.routing.settings import CreateAction, EventAction, RuleSettings, Signal, StatusAction

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
        return _create(rule, rule.create, _order(rule, target, blueprint, _used(rule.create)), blueprint)
    if rule.event is not None:
        missing = rule.event.if_missing
        changes = {"resend_unknown": rule.event.on_unknown == "resend"}
        return _event(rule, rule.event, _order(rule, target, blueprint, _missing(missing) | changes), blueprint)
    if rule.status is not None:
        changes = _missing(rule.status.if_missing)
        return _status(rule.status, _order(rule, target, blueprint, changes), blueprint)
    return None


def _used(action: CreateAction) -> dict[str, Value]:
    resend = action.event is None or action.event.on_unknown == "resend"
    return {"if_exists": action.if_exists, "resend_unknown": resend}


def _missing(setting: Value) -> dict[str, Value]:
    if setting.kind is IfMissing.WAIT:
        return {"if_missing": setting.kind, "wait_seconds": setting.wait.total_seconds()}
    return {"if_missing": setting.kind}


def _order(rule: RuleSettings, target: str, blueprint: Blueprint, changes: dict[str, Value]) -> _Order:
    policy = Policy(
        rule.name,
        give_up_after_seconds=rule.give_up_after.total_seconds(),
        max_attempts=rule.max_attempts or 0,
        blocks_lane=rule.on_dead == "block",
        config=blueprint.config,
    )._replace(**changes)
    return _Order(target, policy.encode(), _PRIORITIES[rule.priority], _lane(rule, blueprint), _due(rule, blueprint))


def _lane(rule: RuleSettings, blueprint: Blueprint) -> Callable[..., str] | None:
    if rule.lane is None:
        return None
    if rule.lane == "none":
        return lambda message, _body, _item, index: f"\x01{message.id}#{index}#{rule.name}"
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
    return name, blueprint.text(f"{action}.id", instance_id, preflight.is_instance_id, preflight.bad_written_id)


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
    own = action.if_exists is not IfExists.SKIP
    pieces = own_creation(rule, action, blueprint) if own else creation(rule, action, blueprint, "create")
    opening, (middle, params_of, closing) = OPENING, pieces
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

    return make if action.event is None else _with_signal(make, rule, action.event, blueprint)


def _with_signal(make: Make, rule: RuleSettings, signal: Signal, blueprint: Blueprint) -> Make:
    """Creates that send an event instead where their instance exists."""
    kind = _event_type(blueprint, "create.event.type", signal.type)
    payload_of = payload(rule, signal, blueprint, "create.event")

    def both(message: Message, body: Value, item: Value, index: int, now_ms: int) -> Call:
        call = make(message, body, item, index, now_ms)
        place = (message, body, item, index)
        event_type = _checked(kind.of(*place), preflight.is_event_type, preflight.bad_event_type)
        return call._replace(event_type=event_type, body=two_bodies(call.body, payload_of(*place)))

    return both


def _event_type(blueprint: Blueprint, field: str, text: str) -> Text:
    return blueprint.text(field, text, preflight.is_event_type, preflight.bad_event_type)


def _event(rule: RuleSettings, action: EventAction, order: _Order, blueprint: Blueprint) -> Make:
    workflow, instance = _place(blueprint, "event", action.workflow, action.id)
    kind = _event_type(blueprint, "event.type", action.type)
    payload_of = payload(rule, action, blueprint, "event")
    addressed = _addressed(Operation.EVENT, order, workflow, instance, kind)

    def make(message: Message, body: Value, item: Value, index: int, now_ms: int) -> Call:
        return addressed(message, body, item, index, now_ms, payload_of(message, body, item, index))

    if action.if_missing.kind is not IfMissing.CREATE:
        return make
    return _with_start(make, creation(rule, action.create or Creation.model_validate({}), blueprint, "event.create"))


def _with_start(make: Make, pieces: Pieces) -> Make:
    """Events that create their instance where it does not exist."""

    def both(message: Message, body: Value, item: Value, index: int, now_ms: int) -> Call:
        call = make(message, body, item, index, now_ms)
        start = pieces.body(call.instance_id, message, body, item, index)
        if len(start) > preflight.LARGEST_BODY:
            raise preflight.too_large(len(start))
        return call._replace(body=two_bodies(call.body, start))

    return both


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
