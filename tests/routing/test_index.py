"""The index over conditions: the same outcome as without it, for the cost of one lookup."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.routing import index
from tests.routing.messages import message, route, router

if TYPE_CHECKING:
    from bridge.routing.values import Value


FIELDS = ["body.a", "body.b", "body['a']", "headers.h", "headers['h']", "channel", "source", "partition", "exchange"]
FIELDS += ["body.?a.orValue('x')", "headers[?'h'].orValue('y')", "body.?b.orValue(null)"]
FIELDS += [
    "body.a.a",
    "body['b'].a",
    "body.a['a'].b",
    "body.a.?a.orValue('x')",
    "body.?a.a.orValue('x')",
    "headers.h.a",
]
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
    st.dictionaries(
        st.sampled_from("ab"), st.sampled_from(["x", "y", 0, 1, True, None, 1.0, [1], {"a": 1}, {"a": "x"}])
    ),
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


@pytest.mark.parametrize(
    ("place", "body", "headers"),
    [
        ("body.order.type", {"order": {"type": "t7"}}, []),
        ("body['order']['line'].type", {"order": {"line": {"type": "t7"}}}, []),
        ("body.order.?type.orValue('none')", {"order": {"type": "t7"}}, []),
        ("headers['type']", {}, [("type", b"t7")]),
    ],
)
def test_fields_of_fields_and_headers_are_looked_up(place: str, body: Value, headers: Value) -> None:
    """Wherever the field is, one rule of two hundred is left; so it is with ``in`` and a list."""
    made = router(*({"when": f"{place} in ['t{number}', 'u{number}']", "drop": "x"} for number in range(200)))
    candidates = made._plans["orders"].candidates
    assert [candidate.name for candidate in candidates(message(headers=headers), body)] == ["r7"]
    assert candidates(message(), {"order": 5}) == ()


def test_the_index_uses_what_rules_have_in_common() -> None:
    """Rules that test several things are filed under the one that most of them test."""
    made = router(*({"when": f"body.u{place} == 1 && headers.h == 'h{place}'", "drop": "x"} for place in range(9)))
    assert len(made._plans["orders"]._tables) == 1
