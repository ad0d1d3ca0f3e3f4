"""Expressions against hostile input, and the fast form of each against the exact one."""

from __future__ import annotations

import json
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import RuleError
from bridge.routing.expression import ExpressionError, compile  # noqa: A004  named like re.compile
from bridge.routing.names import Names, Variable
from bridge.routing.parser import RESERVED
from bridge.routing.values import INT_MAX, Optional, Uint, Value, type_name

BODY = Names("body", {"body": Variable("body")})


def value_of(text: str, **env: Value) -> Value:
    return compile(text).evaluate(env)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(TEXTS, min_size=2, max_size=2, unique=True))
def test_safe_ids_are_legal_and_differ(texts: list[str]) -> None:
    """Different texts give different ids, each of which may stand in an id."""
    first, second = (value_of("safe_id(x)", x=text) for text in texts)
    assert first != second
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", made) for made in (first, second))
    assert value_of("safe_id(x)", x=first + "!") != value_of("safe_id(x)", x=first)


@given(TEXTS)
def test_a_made_id_cannot_be_forged(text: str) -> None:
    """No text is its own id if it looks like an id that was made for another."""
    made = value_of("safe_id(x)", x=text + " ")
    assert value_of("safe_id(x)", x=made) != made


NASTY = st.one_of(
    TEXTS,
    st.sampled_from(
        ['"', "'", "\\", "{", "}", "${", "__import__", "k0", "v1", "h_add", "exact", '");import os', "\n", "\x00", "#"]
    ),
).filter(bool)


@given(st.lists(NASTY, min_size=1, max_size=4).map("".join))
def test_hostile_strings_stay_strings(text: str) -> None:
    """A literal is its own value whatever it holds: no text breaks out of the generated source."""
    literal = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7f")
    assert value_of(literal) == text
    assert value_of(f"x[{literal}]", x={text: 5}) == 5
    assert value_of(f"{{{literal}: [{literal}]}}") == {text: [text]}


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True))
def test_hostile_names_stay_names(name: str) -> None:
    """A field and a macro's variable may be called anything, Python's words and our own names included."""
    assert value_of(f"x['{name}']", x={name: 5}) == 5
    if name == "in":
        return
    assert value_of(f"x.{name}", x={name: 5}) == 5
    if name in RESERVED or name in {"true", "false", "null"}:
        with pytest.raises(ExpressionError):
            compile(f"[1, 2].map({name}, {name})", BODY)
        return
    assert compile(f"[1, 2].map({name}, {name})", BODY).function({}) == [1, 2]


WORDS = st.sampled_from(
    [
        "a",
        "b",
        "body",
        "1",
        "2u",
        "1.5",
        "'x'",
        '"y"',
        "b'z'",
        "true",
        "null",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".",
        ".?",
        "[?",
        ",",
        ":",
        "?",
        "==",
        "!=",
        "<",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "!",
        "&&",
        "||",
        "in",
        "has(",
        ".map(",
        ".all(",
        "size(",
        ".orValue(",
        "'a.b'",
        "int(",
        "x,",
        "timestamp(",
        ".split(",
        ".matches(",
        "'('",
        ".format(",
        "9223372036854775807",
    ]
)


@given(st.lists(WORDS, max_size=25), st.booleans())
def test_any_text_compiles_or_is_an_expression_error(words: list[str], spaced: bool) -> None:  # noqa: FBT001  drawn
    """Whatever is written, compiling gives a function or an ExpressionError, and calling it a value or a RuleError."""
    text = (" " if spaced else "").join(words)
    with suppress(ExpressionError, RuleError):
        compile(text).evaluate({"a": {"b": [1, "x", None]}, "b": 2, "body": {"x": 1.5}})


ATOMS = st.sampled_from(
    "a b m.x m.y m.?x m.?y.orValue(2) l[0] l[9] 0 1 true false 't' null 2u 1.0 big 1/0 m l n n.x".split()  # noqa: SIM905  reads better
)


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "&&", "||", "in"])
    return st.one_of(
        st.tuples(inner, binary, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda e: f"!({e})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} ? {t[1]} : {t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"[{t[0]}, {t[1]}]"),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}.all(v, v == {t[1]})" if t[0] in "ml" else f"[{t[0]}].map(a, a)"),
        st.tuples(inner, inner).map(lambda t: f"[{t[0]}, {t[1]}].exists(v, v)"),
    )


@given(st.recursive(ATOMS, _compound, max_leaves=12))
def test_the_fast_form_is_the_exact_one(text: str) -> None:
    """Plain Python first, CEL's treatment of errors only if that failed: the outcome is the same as with it alone."""
    env = {"a": True, "b": 1, "m": {"x": "t"}, "l": [1, False], "n": None, "big": 2**63}
    expression = compile(text)
    exact = expression.function.__globals__["exact"]

    def outcome(function: Value) -> Value:
        try:
            value = function(env)
        except RuleError as error:
            return type(error)
        return (value.value if type(value) is Optional else value, type_name(value))

    assert repr(outcome(expression.function)) == repr(outcome(exact))


@given(st.integers(-(2**63), 2**64 - 1))
def test_integers_are_never_rounded(number: int) -> None:
    """An integer comes out of an expression as it went in, up to 64 bits."""
    assert value_of("x", x=number) == number
    assert value_of("string(x)", x=number) == str(number)
    assert value_of("json([x])", x=number) == f"[{number}]"
    expected = Uint(number) if number > INT_MAX else number
    assert value_of("x == y", x=number, y=expected) is True
