"""``for_each`` over lists that are longer than anybody meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.routing import elements, rule
from bridge.routing.budget import TOGETHER
from bridge.routing.elements import MAX_BYTES, MAX_CALLS
from tests.routing.messages import CREATE, calls, message, reasons, route, router

if TYPE_CHECKING:
    from bridge.routing.router import Routed, Router
    from bridge.routing.values import Value

EACH = {"for_each": "body.lines", "create": {"workflow": "w", "id": "l-${item}"}}
WHOLE = {"for_each": "body.lines", "create": {"workflow": "w", "id": "l-${item}", "params": "${body}"}}
REST = {"create": {"workflow": "w", "id": "rest"}}


def lines(count: int, **more: Value) -> bytes:
    return orjson.dumps({"lines": list(range(count)), **more})


def too_many(routed: Routed) -> list[tuple[str, str]]:
    return [(letter.rule, letter.detail) for letter in routed.dead if letter.reason == "too_many_calls"]


def test_a_rule_makes_as_many_calls_of_a_message_as_are_allowed_or_none() -> None:
    """One more element, and the message is one dead letter of that rule; the other rules have their calls."""
    made = router(EACH, REST)
    assert len(route(made, message(lines(MAX_CALLS))).calls) == MAX_CALLS + 1
    routed = route(made, message(lines(MAX_CALLS + 1)), message(lines(1), offset=1))
    assert [call.instance_id for call in calls(routed)] == ["rest", "l-0", "rest"]
    why = "for_each: more than 10,000 calls, the most that the elements of one message may make"
    assert too_many(routed) == [("r0", why)]


def test_the_calls_of_one_message_are_bounded_in_bytes() -> None:
    """A list of a few thousand elements, each of which passes the whole body on, does not fill the memory."""
    text = "x" * 900_000
    fits = MAX_BYTES // 1_000_000
    assert len(route(router(WHOLE), message(lines(fits, text=text))).calls) == fits
    routed = route(router(WHOLE), message(lines(5_000, text=text)))
    assert routed.calls == []
    assert too_many(routed) == [
        ("r0", "for_each: more than 64 MiB of calls, the most that the elements of one message may make")
    ]


def test_lanes_and_the_originals_of_dead_letters_count_too() -> None:
    """They are stored with every call, and with every dead letter of one."""
    text = "x" * 500_000
    for limited in (
        router(EACH | {"lane": "body.text"}),
        router(EACH | {"create": {"workflow": "w", "id": "${item / 0}"}}),
    ):
        assert reasons(route(limited, message(lines(200, text=text)))) == [("r0", "too_many_calls")]
    headers = [("h", b"x" * 500_000)]
    routed = route(router({"for_each": "body.lines", "create": CREATE}), message(lines(200), headers=headers))
    assert reasons(routed) == [("r0", "too_many_calls")]


def test_the_elements_of_one_message_share_what_macros_may_cost() -> None:
    """A list that is gone through for each of its own elements ends as one dead letter, not as minutes of work."""
    each = {"workflow": "w", "id": "l-${item}", "params": "${body.lines.filter(l, l == item)}"}
    made = router({"for_each": "body.lines", "create": each}, REST | {"when": "body.lines.exists(l, l == 5999)"})
    assert len(route(made, message(lines(1_000))).calls) == 1_000
    routed = route(made, message(lines(6_000)), message(lines(100)))
    assert [call.instance_id for call in calls(routed)] == ["rest", *(f"l-{place}" for place in range(100))]
    assert [(letter.reason, letter.detail) for letter in routed.dead] == [
        ("render_error", f"for_each: the elements cost too much together: more than {TOGETHER} steps")
    ]


ELEMENTS = st.lists(st.one_of(st.integers(0, 99), st.none()), max_size=12)  # of which null cannot be in an id


def made_of(limited: Router, body: bytes) -> list[tuple[int, int, int]]:
    """For each rule its calls, dead letters of elements, and 1 where it was too much."""
    routed = route(limited, message(body))
    return [
        (
            sum(call.workflow == workflow for call in calls(routed)),
            reasons(routed).count((name, "render_error")),
            reasons(routed).count((name, "too_many_calls")),
        )
        for name, workflow in (("r0", "one"), ("r1", "two"))
    ]


@given(first=ELEMENTS, second=ELEMENTS, most=st.integers(0, 20), size=st.integers(0, 1_500))
def test_every_rule_makes_all_or_nothing_within_what_is_left(
    first: list[int | None], second: list[int | None], most: int, size: int
) -> None:
    """Whatever the elements: in file order, each rule makes everything while that fits, else one dead letter."""
    body = orjson.dumps({"a": first, "b": second})
    made = router(
        {"for_each": "body.a", "create": {"workflow": "one", "id": "l-${item}"}},
        {"for_each": "body.b", "create": {"workflow": "two", "id": "l-${item}", "params": "${body}"}},
    )
    expected, count, used = [], 0, 0
    for items, params in ((first, b""), (second, b',"params":' + body)):
        sizes = [
            len(body) if item is None else len(b'{"instance_id":"l-%d"' % item) + len(params) + 1 for item in items
        ]
        if count + len(items) > most or used + sum(sizes) > size:
            expected.append((0, 0, 1))
        else:
            count, used = count + len(items), used + sum(sizes)
            expected.append((len(items) - items.count(None), items.count(None), 0))
    with pytest.MonkeyPatch.context() as patch:
        for module in (rule, elements):
            patch.setattr(module, "MAX_CALLS", most)
            patch.setattr(module, "MAX_BYTES", size)
        found = made_of(made, body)
    assert found == expected
