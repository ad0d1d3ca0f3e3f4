"""What would be refused or has no place to go is a dead letter; ids, times and elements of calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson
import pytest

from bridge.call import NORMAL
from bridge.routing.router import Routed
from tests.routing.messages import CREATE, calls, message, only, reasons, route, router

if TYPE_CHECKING:
    from bridge.message import Message
    from bridge.routing.values import Value


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
    assert route(router(rule), message(b'{"lines":[]}')) == Routed([], [], {"r0": 1}, {}, 0, {}, [])
    assert reasons(route(router(rule), message(b'{"lines":5}'), message(b"{}"))) == [("r0", "render_error")] * 2


def test_for_each_element_of_a_filtered_list() -> None:
    """The elements of a list that was computed are right too, though their numbers are spelled anew."""
    rule = {
        "for_each": "body.lines.filter(l, l.p > 1)",
        "create": {"workflow": "w", "id": "${index}", "params": "${item.p}"},
    }
    made = calls(route(router(rule), message(b'{"lines":[{"p":0.5},{"p":2.50}]}')))
    assert [call.body for call in made] == [b'{"instance_id":"0","params":2.5}']
