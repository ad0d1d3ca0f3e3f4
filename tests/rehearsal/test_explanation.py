"""``explain``: agrees with the router, and says why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import recorded
from bridge.errors import NotAMessage
from bridge.rehearsal.explanation import Explanation, Verdict, explain
from bridge.rehearsal.words import explanation_data, explanation_lines, safe
from tests.rehearsal.stages import NOW_MS, SOURCES, stage

if TYPE_CHECKING:
    from bridge.rehearsal.stage import Stage

CREATE = {"workflow": "w", "id": "order-${body.id}", "params": "${body}"}


def explained(where: Stage, message: object) -> Explanation:
    sample = where.sample(recorded.read(message))
    return asyncio.run(explain(where, sample, NOW_MS))


def text(explanation: Explanation) -> str:
    return "\n".join(safe(line) for line in explanation_lines(explanation))


CONDITIONS = [
    "body.a == 1",
    "body.a > 1 && body.b == 'x'",
    "!(body.a in [1, 2])",
    "has(body.b) || body.a == 3",
    "1 / body.a == 1",
    "body.b.startsWith('x')",
    "headers['h'] == '1'",
    "headers[?'h'].orValue('') == '1'",
    "body.a == 1 ? has(body.b) : body.b == 'y'",
    "body.l.exists(x, x > body.a)",
    "source == 'orders' && partition == 0",
    "body.a",
    "body.a in [1, 2] && channel == 'shop.orders'",
]
ACTIONS: list[dict[str, Any]] = [
    {"create": CREATE},
    {"create": {"workflow": "w"}},
    {"event": {"workflow": "w", "id": "i-${body.a}", "type": "t"}},
    {"status": {"workflow": "w", "id": "${body.b}", "to": "pause"}},
    {"for_each": "body.l", "create": {"workflow": "w", "id": "l-${item}"}},
    {"drop": "dropped"},
    {"dead_letter": "a is ${body.a}"},
]
RULE = st.builds(
    lambda when, action, final, source: (
        {"when": when} if when else {}
    ) | action | ({"final": True} if final else {}) | ({"from": source} if source else {}),
    st.none() | st.sampled_from(CONDITIONS),
    st.sampled_from(ACTIONS),
    st.booleans(),
    st.sampled_from([None, None, "orders", "payments"]),
)  # fmt: skip
BODY = st.fixed_dictionaries(
    {},
    optional={
        "a": st.integers(0, 3) | st.just("text"),
        "b": st.sampled_from(["x", "y", "bad id", 5]),
        "id": st.integers(0, 2),
        "l": st.lists(st.integers(0, 4), max_size=3),
    },
)
MESSAGE = st.fixed_dictionaries(
    {"source": st.sampled_from(["orders", "payments"])},
    optional={"body": BODY | st.sampled_from(["not JSON", None]), "headers": st.just({"h": "1"})},
)


@given(st.lists(RULE, min_size=1, max_size=4), MESSAGE)
def test_what_is_explained_is_what_the_router_does(rules: list[dict[str, Any]], message: dict[str, Any]) -> None:
    """The rules that match, their calls, drops and dead letters: the same, rule by rule and in order."""
    where = stage(*rules)
    sample = where.sample(recorded.read(message))
    found = asyncio.run(explain(where, sample, NOW_MS))
    routed = asyncio.run(where.route(sample.message.source, [sample], NOW_MS))
    assert found.routed == routed
    matching = [story for story in found.rules if story.verdict is Verdict.MATCHES]
    assert [story.name for story in matching] == [name for name in routed.matched]  # noqa: C416
    parts = [story.routed for story in matching if story.routed is not None]
    assert [call for part in parts for _, call in part.calls] == [call for _, call in routed.calls]
    assert [dead for part in parts for dead in part.dead] == [
        dead for dead in routed.dead if dead.reason not in {"rule_error", "unmatched", "undecodable"}
    ]
    assert [reason for part in parts for reason in part.dropped] == list(routed.dropped)
    failing = {story.name for story in found.rules if story.verdict is Verdict.FAILS}
    assert failing <= set(routed.errors)  # the index counts what it has not looked at too
    for story in found.rules:
        if story.condition is not None and story.verdict is not Verdict.FAILS:
            assert story.condition.value == ("true" if story.verdict is Verdict.MATCHES else "false")
    orjson.dumps(explanation_data(found))
    assert text(found)


def test_it_says_which_part_is_false_and_with_which_values() -> None:
    """Each part of the condition with its value, and below a comparison what it looked at."""
    where = stage({"when": 'body.type == "order.created" && !(body.total <= vars.least)', "create": CREATE},
                  vars={"least": 0})  # fmt: skip
    found = explained(where, {"source": "orders", "body": {"type": "order.created", "total": -3, "id": 1}})
    assert text(found).split("\n")[3:8] == [
        "1. r0: does not match",
        '   body.type == "order.created" && !(body.total <= vars.least)  -> false',
        '      body.type == "order.created"  -> true  (body.type = "order.created")',
        "      !(body.total <= vars.least)  -> false",
        "         body.total <= vars.least  -> true  (body.total = -3, vars.least = 0)",
    ]
    assert text(found).endswith("result: no rule matches: counted, and then forgotten")


def test_it_says_what_is_missing_and_what_fails() -> None:
    """A field that is not there, an error, and where a final rule has stopped."""
    where = stage(
        {"when": "body.none == 1", "create": CREATE},
        {"when": "1 / body.zero == 1", "create": CREATE},
        {"from": "payments", "create": CREATE},
        {"when": "body.zero == 0", "drop": "zero"},
        {"create": CREATE},
    )
    found = explained(where, {"source": "orders", "body": {"zero": 0}})
    assert [(story.verdict, story.reason) for story in found.rules] == [
        (Verdict.FAILS, "no field 'none'"),
        (Verdict.FAILS, "division by zero"),
        (Verdict.ELSEWHERE, ""),
        (Verdict.MATCHES, ""),
        (Verdict.UNREACHED, "r3 is final"),
    ]
    assert "body.none == 1  has no value: no field 'none'" in text(found)


def test_it_shows_the_calls_and_what_keeps_one_from_being_made() -> None:
    """What would be sent, its lane and policy; an id that the API refuses; the field that has no value."""
    where = stage(
        {"create": CREATE, "priority": "high", "delay": "10m"},
        {"create": {"workflow": "w", "id": "x y ${body.id}"}},
        {"create": {"workflow": "w", "id": "x", "params": {"a": "${body.none}"}}},
    )
    shown = text(explained(where, {"source": "orders", "body": {"id": 1}}))
    assert "=> create w/order-1 at target main" in shown
    assert "lane w/order-1, priority high, not before 2023-11-14T22:23:20.000Z" in shown
    assert '"params": {' in shown
    assert "=> dead letter, invalid_id: the instance id 'x y 1' is not" in shown
    assert "=> dead letter, render_error: create.params: no field 'none'" in shown


def test_what_cannot_be_decoded_reaches_no_rule() -> None:
    """The reason is told, the body is not taken apart."""
    found = explained(stage({"create": CREATE}), {"source": "orders", "body": "{"})
    assert found.rules[0].verdict is Verdict.UNREACHED
    assert [dead.reason for dead in found.routed.dead] == ["undecodable"]


def test_what_is_too_large_reaches_no_rule() -> None:
    """It is told as what the bridge makes of it: a dead letter, with its size; of what was cut before, too."""
    body = {"order": "x" * 2000}
    sources = {"orders": {**SOURCES["orders"], "max_message_bytes": 1024}}
    for message in ({"body": body}, {"body": {}, "attributes": {"body_bytes": 2012}}):
        found = explained(stage({"create": CREATE}, sources=sources), {"source": "orders", **message})
        assert found.rules[0].verdict is Verdict.UNREACHED
        assert "1. r0: is not reached (the message is too large)" in text(found)
        assert "result: dead letter (too_large: the body has 2012 bytes, max_message_bytes is 1024;" in text(found)
    fits = explained(stage({"create": CREATE}), {"source": "orders", "body": body})
    assert fits.rules[0].verdict is Verdict.MATCHES


def test_what_its_source_ignores_reaches_no_rule() -> None:
    """It is told why; a message that is as old as it may be is asked about."""
    where = stage({"create": CREATE}, sources={"orders": {**SOURCES["orders"], "ignore_older_than": "7d"}})
    week_ms = 7 * 86_400_000
    for content in ("body", "value"):
        old = explained(where, {"source": "orders", content: {}, "timestamp_ms": NOW_MS - week_ms - 1})
        assert "1. r0: is not reached (ignored: older than 7d)" in text(old)
        assert text(old).endswith("result: ignored: older than 7d")
        data = explanation_data(old)
        assert (data["ignored"], data["decoded"], data["result"]["dropped"]) == (
            "ignored: older than 7d",
            True,
            ["too_old"],
        )
    for recent in ({"timestamp_ms": NOW_MS - week_ms}, {}):
        young = explained(where, {"source": "orders", "body": {}, **recent})
        assert (young.rules[0].verdict, explanation_data(young)["ignored"]) == (Verdict.MATCHES, "")


def test_a_terminal_obeys_no_message() -> None:
    """What would move the cursor is shown as an escape."""
    found = explained(
        stage({"when": "body.a == 1", "create": CREATE}), {"source": "orders", "body": {"a": "\x1b[2J\u202e"}}
    )
    assert "\x1b" not in text(found)
    assert "\u202e" not in text(found)


def test_what_is_left_out_is_what_the_source_gives() -> None:
    """Kafka: first topic, partition and offset 0, headers are bytes. RabbitMQ: no message id is no identity."""
    where = stage({"create": CREATE})
    kafka = where.sample(recorded.read({"source": "orders", "headers": {"a": "x"}})).message
    assert (kafka.id, kafka.channel, kafka.headers) == ("shop.orders/0/0", "shop.orders", [("a", b"x")])
    moved = where.sample(recorded.read({"source": "orders", "attributes": {"offset": 7}})).message
    assert (moved.id, moved.attributes) == ("shop.orders/0/7", {"partition": 0, "offset": 7})
    rabbit = where.sample(recorded.read({"source": "payments", "channel": "paid"})).message
    assert (rabbit.channel, rabbit.has_identity) == ("paid", False)
    assert rabbit.attributes == {"queue": "payments", "exchange": "", "routing_key": "paid"}
    assert where.sample(recorded.read({"source": "payments", "id": "m"})).message.has_identity


def test_a_message_needs_a_source_that_there_is() -> None:
    """Named in the message, by the caller, or the only one."""
    where = stage({"create": CREATE})
    assert where.sample(recorded.read({}), "orders").message.source == "orders"
    with pytest.raises(NotAMessage, match="say which source"):
        where.sample(recorded.read({}))
    with pytest.raises(NotAMessage, match="there are orders, payments"):
        where.sample(recorded.read({"source": "other"}))


def test_a_value_can_stand_for_bytes_that_nobody_writes_by_hand() -> None:
    """With a codec that is not JSON the rules see it as it is; with JSON it is the body's text."""
    where = stage({"when": "body.a == 1", "create": {"workflow": "w", "id": "x", "params": "${body}"}})
    assert explained(where, {"source": "orders", "value": {"a": 1}}).message.body == b'{"a":1}'
    sources = {
        "orders": {"type": "kafka", "bootstrap_servers": ["b:1"], "topics": ["t"], "group_id": "g", "decode": "raw"}
    }
    other = stage({"when": "body.a == 1", "create": {"workflow": "w", "id": "x", "params": "${body}"}}, sources=sources)
    ((_, call),) = explained(other, {"value": {"a": 1}}).routed.calls
    assert b'"params":{"a":1}' in call.body


def test_a_cloudevent_is_seen_as_its_source_decodes_it() -> None:
    """The rules see data and attributes; what is called and kept is about the message as it came."""
    sources = {"e": {"type": "kafka", "bootstrap_servers": ["b:1"], "topics": ["t"], "group_id": "g",
                     "decode": "cloudevents"}}  # fmt: skip
    where = stage(
        {"when": "ce.type == 'made' && body.a == 1", "dead_letter": "seen"}, {"create": CREATE}, sources=sources
    )
    headers = {"content-type": "application/cloudevents+json"}
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "made", "data": {"a": 1}}
    sample = where.sample(recorded.read({"headers": headers, "body": event}))
    found = asyncio.run(explain(where, sample, NOW_MS))
    assert 'ce.type == "made"  -> true  (ce.type = "made")' in text(found)
    routed = asyncio.run(where.route("e", [sample], NOW_MS))
    assert routed.dead[0].message is sample.message
