"""Nodes of expressions as text again."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.routing.parser import parse
from bridge.routing.wording import wording

POSITION = re.compile(r"position=\d+")


def tree(text: str) -> str:
    """Without positions."""
    return POSITION.sub("", repr(parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        "a && (b || c) && d",
        "(a && b) && c",
        "a ? b : (c ? d : e)",
        "(a ? b : c) ? d : e",
        "a - (b - c) - d",
        "(a + b) * c / -d",
        "-(-5)",
        "!(!a)",
        "!!a",
        "--a",
        "(-5).abs()",
        "-5 + -x",
        "a.b[?c].?d.`e-f`[0].`in`",
        ".a.b(c, 1u, 1.5, b'\\xff', '\"', null, true)",
        "[1, ?a.?b, {1: 2, ?'x': y}]",
        "body.lines.filter(l, l.qty > 0).size() in [1, 2]",
        "has(a.b) == !(c in d)",
        "(a == b) == (c == d)",
        "a == (b == c)",
        "double('NaN') != 1e300",
    ],
)
def test_it_means_the_same(text: str) -> None:
    """Parsed again it is the same tree."""
    assert tree(wording(parse(text))) == tree(text)


LEAF = st.sampled_from(["a", "b.c", "1", "-2", "3u", "'s'", "x[0]", "f(y)", "-9223372036854775808", "1.5", "[]", "{}"])
EXPRESSIONS = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||", "==", "<", "in", "+", "-", "*", "%"]), inner).map(
            lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"
        ),
        inner.map(lambda one: f"!({one})"),
        inner.map(lambda one: f"-({one})"),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]}) ? ({parts[1]}) : ({parts[2]})"),
        inner.map(lambda one: f"({one}).size()"),
        inner.map(lambda one: f"({one})[?({one})].?f"),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_every_expression_means_the_same(text: str) -> None:
    """However operators are nested."""
    assert tree(wording(parse(text))) == tree(text)
