"""What the actions of rules make: creates, events and status changes, as they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from bridge.call import HIGH, LOW, Call, IfExists, IfMissing, Operation, Policy, first_body, second_body
from bridge.errors import ConfigError
from tests.routing.messages import CREATE, NOW_MS, calls, message, only, route, router

if TYPE_CHECKING:
    from bridge.routing.values import Value


def test_a_create() -> None:
    """A create carries the id, the body as it was sent, the rule's policy, and nothing else."""
    call = only(route(router({"create": CREATE}), message(b'{"id": 7, "total": 1.50}')))
    assert call == Call(
        Operation.CREATE,
        "main",
        "w",
        "order-7",
        "",
        b'{"instance_id":"order-7","params":{"id": 7, "total": 1.50}}',
        Policy("r0").encode(),
    )


@pytest.mark.parametrize(
    "params", [{"most": float("inf")}, {"id": "${body.id}", "most": [float("nan")]}, {"n": 1 << 64}]
)
def test_a_constant_that_json_has_no_form_for(params: Value) -> None:
    """It is refused with the rules: JSON would have null in its place, or nothing at all."""
    with pytest.raises(ConfigError, match=r"create\.params: .*no form in JSON"):
        router({"create": {**CREATE, "params": params}})


def test_a_create_with_everything() -> None:
    """Retention, location and string encoding are in the body; lane, priority and time beside it."""
    rule = {
        "create": {
            "workflow": "w-${body.kind}",
            "id": "${body.id}",
            "params": {"a": "${body.id}"},
            "params_encoding": "string",
            "retention": {"success": "3 days", "error": 60000},
            "location_hint": "weur",
            "target": "other",
        },
        "lane": "body.customer",
        "priority": "high",
        "delay": "1h30m",
        "give_up_after": "10m",
        "max_attempts": 3,
    }
    call = only(route(router(rule, targets=["main", "other"]), message(b'{"id":"x","kind":"k","customer":9}')))
    assert orjson.loads(call.body) == {
        "instance_id": "x",
        "params": '{"a":"x"}',
        "instance_retention": {"success_retention": "3 days", "error_retention": 60000},
        "location_hint": "weur",
    }
    assert (call.target, call.workflow, call.lane, call.priority) == ("other", "w-k", "9", HIGH)
    assert call.not_before_ms == NOW_MS + 5_400_000
    assert Policy.decode(call.policy) == Policy("r0", give_up_after_seconds=600, max_attempts=3)


def test_a_create_without_params_has_none() -> None:
    """Params that are left out are not sent as null."""
    call = only(route(router({"create": {"workflow": "w", "id": "a"}}), message()))
    assert call.body == b'{"instance_id":"a"}'


def test_an_event() -> None:
    """An event carries its payload and, in it, what lets the workflow see a duplicate."""
    rule = {
        "event": {"workflow": "w", "id": "o-${body.id}", "type": "paid", "payload": {"amount": "${body.amount}"}},
        "priority": "low",
    }
    call = only(route(router(rule), message(b'{"id":1,"amount":9.90}', offset=4)))
    bridge = b'{"id":"shop.orders/0/4","source":"orders","rule":"r0"}'
    assert call.body == b'{"amount":9.90,"_bridge":' + bridge + b"}"
    assert (call.operation, call.instance_id, call.event_type, call.priority) == (Operation.EVENT, "o-1", "paid", LOW)
    assert Policy.decode(call.policy) == Policy("r0")


def test_a_create_that_cares_who_was_first_is_marked() -> None:
    """Every ``if_exists`` but skip puts ``_bridge`` into the params, whatever ``metadata`` says by default."""
    call = only(route(router({"create": {**CREATE, "if_exists": "restart"}}), message(b'{"id":7}', offset=3)))
    mark = {"id": "shop.orders/0/3", "source": "orders", "rule": "r0"}
    assert orjson.loads(call.body) == {"instance_id": "order-7", "params": {"id": 7, "_bridge": mark}}
    assert Policy.decode(call.policy) == Policy("r0", if_exists=IfExists.RESTART)
    bare = {"create": {"workflow": "w", "id": "a", "if_exists": "fail"}}
    assert orjson.loads(only(route(router(bare), message(offset=3))).body)["params"] == {"_bridge": mark}


def test_a_create_that_signals_has_both_bodies() -> None:
    """The payload of the event rides behind the create, with its type and the same identity."""
    signal = {"type": "again-${body.id}", "payload": {"n": "${body.id}"}, "on_unknown": "dead-letter"}
    rule = {"create": {"workflow": "w", "id": "a", "if_exists": "event", "event": signal}}
    call = only(route(router(rule), message(b'{"id":7}')))
    mark = {"id": "shop.orders/0/0", "source": "orders", "rule": "r0"}
    assert orjson.loads(first_body(call.body)) == {"instance_id": "a", "params": {"_bridge": mark}}
    assert (call.event_type, orjson.loads(second_body(call.body))) == ("again-7", {"n": 7, "_bridge": mark})
    assert not Policy.decode(call.policy).resend_unknown


def test_an_event_that_starts_has_both_bodies() -> None:
    """The create of the instance rides behind the payload, under the event's id."""
    create = {"params": "${body}", "retention": {"success": "1 day"}}
    rule = {"event": {"workflow": "w", "id": "o-${body.id}", "type": "t", "if_missing": "create", "create": create}}
    call = only(route(router(rule), message(b'{"id": 7}')))
    assert set(orjson.loads(first_body(call.body))) == {"_bridge"}
    expected = b'{"instance_id":"o-7","params":{"id": 7},"instance_retention":{"success_retention":"1 day"}}'
    assert second_body(call.body) == expected
    assert Policy.decode(call.policy) == Policy("r0", if_missing=IfMissing.CREATE)


@pytest.mark.parametrize(
    ("params", "named", "reason"),
    [("${body.list}", "named", "render_error"), ("${body}", "", "no_identity")],
)
def test_params_that_cannot_be_marked(params: str, named: str, reason: str) -> None:
    """Params that turn out to be no object, and a message that nothing names, are dead letters."""
    rule = {"create": {"workflow": "w", "id": "a", "if_exists": "fail", "params": params}}
    [letter] = route(router(rule), message(b'{"list": []}', has_identity=bool(named))).dead
    assert letter.reason == reason


@pytest.mark.parametrize("params", [[1], 5, "text", "a ${body.id}"])
def test_params_that_are_never_an_object(params: Value) -> None:
    """They are refused when the rules are loaded, where ``if_exists`` needs ``_bridge`` in them."""
    with pytest.raises(ConfigError, match="if_exists: new needs params that are an object"):
        router({"create": {"workflow": "w", "id": "a", "if_exists": "new", "params": params}})


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("payload", "body", "expected"),
    [
        ({}, b"{}", '{"_bridge":B}'),
        ("${body}", b" { } ", '{"_bridge":B}'),
        ("${body}", b'{"a": 1.0}\n', '{"a": 1.0,"_bridge":B}'),
        ("${body}", b'{"_bridge": {"id": "forged"}, "a": 1.50}', '{"a":1.50,"_bridge":B}'),
        ("${body}", b"[1]", "[1]"),
        ("${body.s}", b'{"s":"{}"}', '"{}"'),
        ("text", b"{}", '"text"'),
    ],
)
def test_metadata_goes_into_objects_only(payload: Value, body: bytes, expected: str) -> None:
    """``_bridge`` is added to an object, replaces one that came along, and leaves any other payload alone."""
    rule = {"event": {"workflow": "w", "id": "a", "type": "t", "payload": payload}}
    call = only(route(router(rule), message(body, headers=[("traceparent", TRACE.encode())])))
    bridge = f'{{"id":"shop.orders/0/0","source":"orders","rule":"r0","traceparent":"{TRACE}"}}'
    assert call.body.decode() == expected.replace("B", bridge)


def test_metadata_can_be_turned_off_and_on() -> None:
    """Events carry it unless told otherwise, creates only when asked; elements of one message have ids of their own."""
    off = {"event": {"workflow": "w", "id": "a", "type": "t", "payload": {}, "metadata": False}}
    assert only(route(router(off), message())).body == b"{}"
    on = {"for_each": "[1, 2]", "create": {"workflow": "w", "metadata": True}}
    made = [orjson.loads(call.body)["params"]["_bridge"]["id"] for call in calls(route(router(on), message()))]
    assert made == ["shop.orders/0/0#0", "shop.orders/0/0#1"]


def test_a_trace_that_is_none_is_left_out() -> None:
    """A header that only claims to be a trace context is not passed on."""
    rule = {"event": {"workflow": "w", "id": "a", "type": "t"}}
    call = only(route(router(rule), message(headers=[("traceparent", b'"},"x":1')])))
    assert set(orjson.loads(call.body)["_bridge"]) == {"id", "source", "rule"}


@pytest.mark.parametrize(
    ("status", "body", "policy"),
    [
        (
            {"to": "terminate", "rollback": True},
            {"status": "terminate", "rollback": True},
            {"if_missing": IfMissing.DEAD_LETTER},
        ),
        ({"to": "pause", "if_missing": "drop"}, {"status": "pause"}, {"if_missing": IfMissing.DROP}),
        (
            {"to": "restart", "from": {"name": "step-${body.id}", "count": 2}, "if_missing": "wait 1h"},
            {"status": "restart", "from": {"name": "step-1", "count": 2}},
            {"if_missing": IfMissing.WAIT, "wait_seconds": 3600.0},
        ),
    ],
)
def test_a_status_change(status: Value, body: Value, policy: Value) -> None:
    """A status change sends what the API wants of it."""
    call = only(route(router({"status": {"workflow": "w", "id": "o-${body.id}", **status}}), message(b'{"id":1}')))
    assert (call.operation, call.instance_id, orjson.loads(call.body)) == (Operation.STATUS, "o-1", body)
    assert Policy.decode(call.policy) == Policy("r0", **policy)
