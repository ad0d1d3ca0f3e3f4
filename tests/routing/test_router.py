"""Routing: which rules fire, what each message becomes, and where what fails ends."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.call import HIGH, LOW, NORMAL, Call, IfMissing, Operation, Policy
from bridge.errors import ConfigError
from bridge.routing import index
from bridge.routing.router import SKIP, Routed, Router, SourceInfo
from tests.routing.messages import NOW_MS, SOURCES, message, route, router, rules

if TYPE_CHECKING:
    from bridge.message import Message
    from bridge.routing.values import Value

CREATE = {"workflow": "w", "id": "order-${body.id}", "params": "${body}"}


def calls(routed: Routed) -> list[Call]:
    return [call for _, call in routed.calls]


def only(routed: Routed) -> Call:
    assert routed.dead == []
    (call,) = calls(routed)
    return call


def reasons(routed: Routed) -> list[tuple[str, str]]:
    return [(rejected.rule, rejected.reason) for rejected in routed.dead]


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


def test_every_matching_rule_fires_in_file_order_until_a_final_one() -> None:
    """Rules do not exclude each other; ``final``, ``drop`` and ``dead_letter`` end the list."""
    made = router(
        {"when": "body.a == 1", "create": {"workflow": "one", "id": "a"}},
        {"when": "body.b == 1", "create": {"workflow": "two", "id": "a"}, "final": True},
        {"create": {"workflow": "three", "id": "a"}},
        {"when": "body.c == 1", "drop": "test"},
        {"when": "body.d == 1", "dead_letter": "look at ${body.d}"},
        {"create": {"workflow": "last", "id": "a"}},
    )

    def fired(body: bytes) -> list[str]:
        return [call.workflow for call in calls(route(made, message(body)))]

    assert fired(b'{"a":1,"b":0,"c":0,"d":0}') == ["one", "three", "last"]
    assert fired(b'{"a":1,"b":1,"c":0,"d":0}') == ["one", "two"]
    assert fired(b'{"a":0,"b":0,"c":1,"d":1}') == ["three"]
    dropped = route(made, message(b'{"a":0,"b":0,"c":1,"d":1}'))
    assert (dropped.dropped, dropped.matched) == ({"test": 1}, {"r2": 1, "r3": 1})
    buried = route(made, message(b'{"a":0,"b":0,"c":0,"d":1}'))
    assert [(letter.reason, letter.detail, letter.rule) for letter in buried.dead] == [("rule", "look at 1", "r4")]


def test_from_limits_a_rule_to_sources() -> None:
    """A rule without ``from`` is for every source."""
    made = router({"from": "payments", "create": CREATE}, {"from": ["orders"], "drop": "o"}, {"drop": "any"})
    assert route(made, message(b'{"id":1}')).dropped == {"o": 1}
    paid = route(made, message(b'{"id":1}', source="payments"), source="payments")
    assert (len(paid.calls), paid.dropped) == (1, {"any": 1})


def test_unmatched_messages_are_counted_or_buried() -> None:
    """What no rule matches is counted; a source may want it among the dead letters."""
    made = router({"when": "body.a == 1", "drop": "x"})
    assert route(made, message(b'{"a":2}')) == Routed([], [], {}, {}, 1, {})
    buried = route(made, message(b'{"a":2}', source="payments"), source="payments")
    assert (buried.unmatched, reasons(buried)) == (1, [("", "unmatched")])


def test_skipped_messages_are_not_looked_at() -> None:
    """A message that the caller has dealt with is not routed and not counted."""
    made = router({"drop": "x"})
    assert made.route("orders", [message(), message()], [SKIP, {}], NOW_MS).dropped == {"x": 1}


def test_a_missing_field_makes_a_condition_false_and_is_counted() -> None:
    """A rule about a field that the message lacks does not match, with an index over it or without."""
    made = router({"when": "body.type == 'a'", "drop": "x"}, {"when": "body.total > 5", "drop": "y"})
    for body in (b"{}", b"null", b"[1]", b'"text"'):
        assert route(made, message(body)) == Routed([], [], {}, {}, 1, {"r0": 1, "r1": 1})


def test_a_default_stands_for_a_missing_field_not_for_a_missing_map() -> None:
    """``.?a.orValue(x)`` gives the default where the body is a map without the field; other bodies have no fields."""
    made = router({"when": "body.?a.orValue('x') == 'x'", "drop": "d"})
    assert [route(made, message(body)).dropped for body in (b"{}", b'{"a":"x"}')] == [{"d": 1}] * 2
    for body in (b'{"a":"y"}', b'{"a":null}', b"null", b"[]", b'"text"', b"1"):
        assert route(made, message(body)).unmatched == 1


def test_a_failing_condition_buries_the_message_unless_another_rule_matches() -> None:
    """An error other than a missing field is somebody's to look at, if no rule took the message."""
    failing = {"when": "body.total > 5", "drop": "y"}
    alone = route(router(failing), message(b'{"total":"six"}'))
    assert reasons(alone) == [("r0", "rule_error")]
    assert (alone.unmatched, alone.errors) == (0, {"r0": 1})
    beside = route(router(failing, {"drop": "rest"}), message(b'{"total":"six"}'))
    assert (beside.dead, beside.dropped, beside.errors) == ([], {"rest": 1}, {"r0": 1})


def test_a_template_that_cannot_be_rendered_buries_that_call_only() -> None:
    """The other rules, and the other elements, go on."""
    made = router(
        {"create": {"workflow": "a", "id": "${body.nope}"}},
        {"for_each": "body.lines", "create": {"workflow": "b", "id": "l-${item.sku}"}},
    )
    routed = route(made, message(b'{"lines":[{"sku":"x"},{},{"sku":"z"}]}'))
    assert [call.instance_id for call in calls(routed)] == ["l-x", "l-z"]
    assert [(letter.rule, letter.reason, letter.detail) for letter in routed.dead] == [
        ("r0", "render_error", "create.id: no field 'nope'"),
        ("r1", "render_error", "create.id: no field 'sku'"),
    ]


@pytest.mark.parametrize(
    "bad", ["a b", "-a", "", "x" * 101, "batch", "terminate", "terminateAll", "cf_" + "0" * 64, "é", "a\n", "a/b"]
)
@pytest.mark.parametrize("action", ["create", "event", "status"])
def test_illegal_ids_are_dead_letters(bad: str, action: str) -> None:
    """An id that the API would refuse costs no request."""
    extra: dict[str, Value] = {"create": {}, "event": {"type": "t"}, "status": {"to": "pause"}}[action]
    made = router({action: {"workflow": "w", "id": "${body.id}", **extra}})
    assert reasons(route(made, message(orjson.dumps({"id": bad})))) == [("r0", "invalid_id")]


@pytest.mark.parametrize("good", ["a", "_a", "0", "x" * 100, "batch-1", "cf_" + "0" * 63, "terminateall", "a-_9"])
def test_legal_ids_pass(good: str) -> None:
    """The whole of what the API takes is let through."""
    assert only(route(router({"create": CREATE | {"id": "${body.id}"}}), message(orjson.dumps({"id": good}))))


def test_rendered_names_are_checked() -> None:
    """A Workflow's name or an event type from the message is checked like an id."""
    made = router(
        {"create": {"workflow": "${body.n}", "id": "a"}},
        {"event": {"workflow": "w", "id": "a", "type": "${body.n}"}},
    )
    assert reasons(route(made, message(b'{"n":"a b"}'))) == [("r0", "invalid_name"), ("r1", "invalid_name")]
    assert len(route(made, message(b'{"n":"a_b"}')).calls) == 2


def test_bodies_beyond_a_mebibyte_are_dead_letters() -> None:
    """What the API would refuse for its size is refused here."""
    big = orjson.dumps({"id": 1, "x": "y" * (1 << 20)})
    made = router({"create": CREATE}, {"event": {"workflow": "w", "id": "a", "type": "t", "payload": "${body}"}})
    assert reasons(route(made, message(big))) == [("r0", "too_large"), ("r1", "too_large")]


def test_default_ids_name_the_message_the_rule_and_the_element() -> None:
    """Without ``id`` the same message, rule and element always give the same id, and any other another one."""
    rule = {"for_each": "[1, 2]", "create": {"workflow": "w"}}
    made = router(rule, rule)

    def ids(*messages: Message) -> list[str]:
        return [call.instance_id for call in calls(route(made, *messages))]

    first = ids(message(offset=1), message(offset=2))
    assert len(set(first)) == 8
    assert first == ids(message(offset=1), message(offset=2))
    assert all(re.fullmatch("[0-9a-f]{40}", made_id) for made_id in first)


def test_without_identity_there_is_no_default_id() -> None:
    """A message that cannot be recognised when it comes again gets no made-up id."""
    made = router({"create": {"workflow": "w"}}, {"create": CREATE})
    routed = route(made, message(b'{"id":1}', has_identity=False))
    assert (reasons(routed), len(routed.calls)) == ([("r0", "no_identity")], 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timestamp(body.at)", 1_767_225_600_000),
        ("timestamp(body.at) + duration('1.5ms')", 1_767_225_600_002),
        ("timestamp(0)", 0),
        ("timestamp('1950-01-01T00:00:00Z')", 0),
        ("body.at", None),
        ("timestamp(body.nope)", None),
    ],
)
def test_not_before(text: str, expected: int | None) -> None:
    """A timestamp in whole milliseconds, never too early; anything else buries the call."""
    routed = route(router({"not_before": text, "create": {"workflow": "w"}}), message(b'{"at":"2026-01-01T00:00:00Z"}'))
    if expected is None:
        assert reasons(routed) == [("r0", "render_error")]
    else:
        assert only(routed).not_before_ms == expected
        assert only(routed).priority == NORMAL


def test_for_each() -> None:
    """Every element is a call with ``item`` and ``index``, its numbers as they were spelled."""
    rule = {"for_each": "body.lines", "create": {"workflow": "w", "id": "l-${index}", "params": "${item}"}}
    made = calls(route(router(rule), message(b'{"lines":[{"p":1.50},{"p":2}]}')))
    assert [call.body for call in made] == [
        b'{"instance_id":"l-0","params":{"p":1.50}}',
        b'{"instance_id":"l-1","params":{"p":2}}',
    ]
    assert route(router(rule), message(b'{"lines":[]}')) == Routed([], [], {"r0": 1}, {}, 0, {})
    assert reasons(route(router(rule), message(b'{"lines":5}'), message(b"{}"))) == [("r0", "render_error")] * 2


def test_for_each_element_of_a_filtered_list() -> None:
    """The elements of a list that was computed are right too, though their numbers are spelled anew."""
    rule = {
        "for_each": "body.lines.filter(l, l.p > 1)",
        "create": {"workflow": "w", "id": "${index}", "params": "${item.p}"},
    }
    made = calls(route(router(rule), message(b'{"lines":[{"p":0.5},{"p":2.50}]}')))
    assert [call.body for call in made] == [b'{"instance_id":"0","params":2.5}']


def test_the_variables_of_a_message() -> None:
    """Key and headers are text where they are UTF-8; a name that repeats has its last value, and all of them."""
    rule = {
        "create": {
            "workflow": "w",
            "id": "a",
            "params": [
                "${key}",
                "${headers}",
                "${header_values}",
                "${channel}/${source}/${message_id}",
                "${partition}",
                "${offset}",
                "${string(timestamp)}",
                "${ce}",
            ],
        }
    }
    sent = message(key=b"k", offset=3, headers=[("h", b"1"), ("h", "2"), ("n", 5), ("b", b"\xff"), ("z", None)])
    assert orjson.loads(only(route(router(rule), sent)).body)["params"] == [
        "k",
        {"h": "2", "n": 5, "b": "/w==", "z": None},
        {"h": ["1", "2"], "n": [5], "b": ["/w=="], "z": [None]},
        "shop.orders/orders/shop.orders/0/3",
        0,
        3,
        "2020-09-13T12:26:40.123Z",
        {},
    ]


def test_cloudevents_attributes_come_from_headers() -> None:
    """In binary mode the attributes are headers with a prefix."""
    made = router({"when": "ce.type == 'created' && ce.datacontenttype == 'x/y'", "drop": "x"})
    headers = [("ce_id", b"1"), ("ce_type", b"created"), ("content-type", b"x/y")]
    assert route(made, message(headers=headers)).dropped == {"x": 1}
    assert route(made, message()).errors == {"r0": 1}


def test_an_attribute_that_the_broker_lacks_is_a_missing_field() -> None:
    """A rule over RabbitMQ's attributes does not match a message of Kafka."""
    assert route(router({"when": "exchange == 'x'", "drop": "x"}), message()).errors == {"r0": 1}
    assert route(router({"when": "!(exchange == 'x')", "drop": "x"}), message()).errors == {"r0": 1}


def test_a_body_that_is_no_json_text_is_not_passed_on_as_such() -> None:
    """Where the value was not parsed from the body's JSON, templates encode the value."""
    made = Router(
        rules({"create": CREATE | {"id": "a"}}),
        vars={},
        sources=[SourceInfo("orders", json_bodies=False)],
        targets=["main"],
    )
    routed = made.route("orders", [message(b"\x00avro")], [{"id": 1.50}], NOW_MS)
    assert only(routed).body == b'{"instance_id":"a","params":{"id":1.5}}'


def problems(*settings: Value, targets: list[str] | None = None) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        Router(rules(*settings), vars={"a": 1}, sources=SOURCES, targets=["main"] if targets is None else targets)
    assert len({problem.path for problem in caught.value.problems}) == len(caught.value.problems)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_every_mistake_is_listed_with_its_path() -> None:
    """Loading names everything that is wrong at once."""
    found = problems(
        {"from": "nope", "when": "body.a =", "create": {"workflow": "a b", "id": "${", "params": {"x": ["${1+}"]}}},
        {"name": "r0", "for_each": "body.", "lane": "${body.a}", "not_before": "tomorrow", "create": {"workflow": "w"}},
        {
            "event": {
                "workflow": "w",
                "id": "a",
                "type": "b c",
                "payload": {"_bridge": 1, "y": "${item}"},
                "target": "x",
            }
        },
        {"status": {"workflow": "w", "id": "-", "to": "restart", "from": {"name": "${vars.b}"}}},
    )
    assert {path: text.partition("\n")[0].partition(";")[0] for path, text in found.items()} == {
        "rules[0].from": "no source 'nope'",
        "rules[0].when": "unexpected '='",
        "rules[0].create.workflow": "the Workflow's name 'a b' is not 1 to 64 letters, digits, _ and -, "
        "not beginning with -",
        "rules[0].create.id": "this ${ has no }",
        "rules[0].create.params.x[0]": "expected a value, found the end",
        "rules[1].name": "the name 'r0' is taken by rules[0]",
        "rules[1].for_each": "expected a field's name, found the end",
        "rules[1].lane": "this field takes a bare expression: write it without ${ and }",
        "rules[1].not_before": "no variable tomorrow",
        "rules[2].event.type": "the event type 'b c' is not 1 to 100 letters, digits, _ and -, not beginning with -",
        "rules[2].event.payload._bridge": "_bridge is added by the bridge",
        "rules[2].event.payload.y": "no variable item",
        "rules[2].event.target": "no target 'x'",
        "rules[3].status.id": "the instance id '-' is not 1 to 100 letters, digits, _ and -, not beginning with -, "
        "or reserved",
        "rules[3].status.from.name": "vars has no b",
    }


def test_the_target_may_be_left_out_only_if_there_is_one() -> None:
    """With several targets a rule says which."""
    assert list(problems({"create": CREATE}, targets=["a", "b"])) == ["rules[0].create.target"]


def test_message_contents_stay_out_of_details() -> None:
    """A dead letter's detail is for logs: it does not quote the message, but for a refused id."""
    made = router(
        {"when": "int(body.s) > 1", "drop": "x"},
        {"when": "body.go == true", "create": {"workflow": "w", "id": "${int(body.s)}"}},
    )
    routed = route(made, message(b'{"s":"s3cret"}'), message(b'{"s":"s3cret","go":true}'))
    assert len(routed.dead) == 2
    assert not any("s3cret" in letter.detail for letter in routed.dead)


FIELDS = ["body.a", "body.b", "body['a']", "headers.h", "headers['h']", "channel", "source", "partition", "exchange"]
FIELDS += ["body.?a.orValue('x')", "headers[?'h'].orValue('y')", "body.?b.orValue(null)"]
CONSTANTS = ["'x'", "'y'", "'shop.orders'", "'orders'", "0", "1", "true", "null", "1.0", "vars.k", "1u"]


def _conjunct(draw: st.DrawFn) -> str:
    field, constant = draw(st.sampled_from(FIELDS)), draw(st.sampled_from(CONSTANTS))
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return f"{field} in [{constant}, {draw(st.sampled_from(CONSTANTS))}]"
    if kind == 1:
        return f"{constant} == {field}"
    if kind == 2:
        return f"({field} == {constant} || body.a == 1)"
    if kind == 3:
        return draw(st.sampled_from(["1/0 == 1", "body.b > 0", "!(body.a == 'x')", "has(body.a)", "body.a"]))
    return f"{field} == {constant}"


@st.composite
def conditions(draw: st.DrawFn) -> str | None:
    if draw(st.integers(0, 7)) == 0:
        return None
    return " && ".join(_conjunct(draw) for _ in range(draw(st.integers(1, 3))))


BODIES: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from([None, [], "x", 1]),
    st.dictionaries(st.sampled_from("ab"), st.sampled_from(["x", "y", 0, 1, True, None, 1.0, [1], {"a": 1}])),
)
HEADERS = st.lists(st.tuples(st.sampled_from("hg"), st.sampled_from([b"x", b"y", "x", 1, True, None])), max_size=2)


@given(st.lists(st.tuples(conditions(), st.booleans()), max_size=8), st.lists(st.tuples(BODIES, HEADERS), max_size=6))
def test_the_index_changes_nothing(settings: list[tuple[str | None, bool]], sent: list[tuple[Value, Value]]) -> None:
    """With the index exactly the rules fire, in exactly the order, that fire when every rule is tried."""
    written = [
        {"create": {"workflow": "w"}, "final": final} | ({} if when is None else {"when": when})
        for when, final in settings
    ]
    messages = [
        message(json.dumps(body).encode(), offset=place, headers=headers) for place, (body, headers) in enumerate(sent)
    ]
    indexed = route(router(*written, k="x"), *messages)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(index, "tests_of", lambda _node, _constants: [])
        linear = route(router(*written, k="x"), *messages)
    assert indexed._replace(errors={}) == linear._replace(errors={})


def test_an_index_tries_only_what_can_match() -> None:
    """Of two hundred rules about one field a message meets one."""
    made = router(*({"when": f"body.type == 't{place}' && body.n > 0", "drop": "x"} for place in range(200)))
    plan = made._plans["orders"]
    assert [candidate.name for candidate in plan.candidates(message(), {"type": "t7"})] == ["r7"]
    assert plan.candidates(message(), {"type": "nope"}) == ()


def test_the_index_uses_what_rules_have_in_common() -> None:
    """Rules that test several things are filed under the one that most of them test."""
    made = router(*({"when": f"body.u{place} == 1 && headers.h == 'h{place}'", "drop": "x"} for place in range(9)))
    assert len(made._plans["orders"]._tables) == 1
