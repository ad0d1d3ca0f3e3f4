"""Routing: which rules fire, what each message becomes, and where what fails ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from bridge.call import Policy
from bridge.errors import ConfigError
from bridge.routing.router import SKIP, Routed, Router, SourceInfo
from tests.routing.messages import CREATE, NOW_MS, SOURCES, calls, message, only, reasons, route, router, rules

if TYPE_CHECKING:
    from bridge.routing.values import Value


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
    lonely = message(b'{"a":2}')
    assert route(made, lonely) == Routed([], [], {}, {}, 1, {}, [(lonely, "")])
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
        lonely = message(body)
        assert route(made, lonely) == Routed([], [], {}, {}, 1, {"r0": 1, "r1": 1}, [(lonely, "")])


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


def test_every_call_notes_the_configuration_that_it_is_from() -> None:
    """In its policy, which all calls of a rule share."""
    settings = rules({"create": CREATE}, {"event": {"workflow": "w", "id": "a", "type": "t"}})
    made = Router(settings, vars={}, sources=SOURCES, targets=["main"], config="0123456789ab")
    made_calls = calls(route(made, message(b'{"id":1}')))
    assert [Policy.decode(call.policy).config for call in made_calls] == ["0123456789ab"] * 2
