"""What users write reaches the generated Python as numbered constants only, whatever it is called and holds."""

from __future__ import annotations

import ast
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import RuleError
from bridge.routing.expression import ExpressionError, compile, source_of  # noqa: A004  named like re.compile
from bridge.routing.functions import FUNCTIONS, METHODS
from bridge.routing.names import ANY_NAMES, Names
from bridge.routing.parser import parse
from bridge.routing.primitives import PRIMITIVES
from bridge.routing.template import TemplateError, _bytes, _text, pieces_of
from bridge.routing.variables import MessageNames, with_element
from tests.routing.cel_expressions import expressions

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.routing.generator import Generator
    from bridge.routing.values import Value

IN_RULES = with_element(MessageNames({"region": "eu"}).names({"orders"}, {"orders", "payments"}), ("lines",))
HELPERS = {name.replace(".", "_") for name in FUNCTIONS} | {f"m_{name}" for name in METHODS}
OURS = {
    *PRIMITIVES,
    *IN_RULES.constants,
    *(f"{kind}_{name}" for kind in "fw" for name in HELPERS),
    *("env", "m", "body", "item", "index"),  # parameters
    *("h_strict", "h_shown", "h_body"),  # templates'
    *("RuleError", "Exception", "unforeseen", "error", "exact", "fast", "type", "str"),
}
NUMBERED = re.compile(r"[kv]\d+")
CONSTANTS = {"partition", "offset", "exchange", "routing_key", "queue"}  # the attributes' names, written by us
SHAPES = (
    *(ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Try, ast.ExceptHandler, ast.Return, ast.Raise, ast.Expr),
    *(ast.Call, ast.Lambda, ast.Name, ast.Constant, ast.Load, ast.Store, ast.IfExp, ast.BoolOp, ast.Compare, ast.BinOp),
    *(ast.UnaryOp, ast.NamedExpr, ast.List, ast.Tuple, ast.Dict, ast.Subscript, ast.Starred, ast.boolop, ast.cmpop),
    *(ast.operator, ast.unaryop),
)

LETTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = [
    "__import__",
    "exec",
    "k0",
    "v1",
    "h_add",
    "f_size",
    "exact",
    "RuleError",
    "__class__",
    "__globals__",
    "lambda",
]
NASTY = [
    '"',
    "'",
    "\\",
    "{",
    "}",
    "${",
    "{0}",
    "{text!r}",
    "\n",
    "\r",
    "\x00",
    "#",
    "');import os#",
    '"""',
    "é",
    "ﬁ",
    "\N{MATHEMATICAL SCRIPT CAPITAL X}",
]
HOSTILE = st.lists(st.sampled_from([*WORDS, *NASTY]) | LETTERS, max_size=4).map("".join)
NAMES = st.sampled_from(WORDS) | st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
QUOTED = st.from_regex(r"[A-Za-z0-9_.\-/ ]{1,12}", fullmatch=True)


def literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7f")


@st.composite
def hostile_expressions(draw: st.DrawFn) -> str:
    """Names, fields, functions, variables and literals that look like code."""
    text, other, name, field = literal(draw(HOSTILE)), literal(draw(HOSTILE)), draw(NAMES), draw(NAMES)
    shapes = [
        f"{text} + x[{other}]",
        f"{name}.{field} == {text} || {name} in [{other}, {text}]",
        f"x.`{draw(QUOTED)}`.?{field}[?{text}].orValue({other})",
        f"[1].map({name}, {name} == {text} && x.{field} == {name})",
        f"{{{text}: {name}, ?{other}: x.?{field}}}.{field}",
        f"{name}({text}, {other})",
        f"{name}.{field}({text})",
        f"has({name}.{field}) ? {text}.contains({other}) : x.matches({text})",
        f"timestamp({text}) < x.{field}({other})",
        f"b{text}.size() > {name}.size() && type({text}) == string",
        draw(expressions()),
        draw(HOSTILE),
    ]
    return draw(st.sampled_from(shapes))


def check(text: str, names: Names, write: Callable[[Generator], str]) -> None:
    """The source is made of known shapes and names, and its constants are numbers, true, false and null."""
    source, constants = source_of(text, names, write)
    for node in ast.walk(ast.parse(source)):
        assert isinstance(node, SHAPES), ast.dump(node)
        if isinstance(node, ast.Name):
            assert NUMBERED.fullmatch(node.id) or node.id in OURS, node.id
        if isinstance(node, ast.arg):
            assert NUMBERED.fullmatch(node.arg) or node.arg in OURS, node.arg
        if isinstance(node, ast.Constant):
            assert type(node.value) in {int, bool, type(None)} or node.value in CONSTANTS, node.value
    assert all(NUMBERED.fullmatch(name) or name in OURS for name in constants.by_name)


@given(hostile_expressions(), st.sampled_from([ANY_NAMES, IN_RULES]))
def test_expressions_become_numbered_names(text: str, names: Names) -> None:
    """No name, field, function or literal of a user stands in the source."""
    with suppress(ExpressionError):
        node = parse(text)
        check(text, names, lambda generator: generator.source(node))


@given(hostile_expressions(), st.sampled_from([None, 1.5, "x", [], {}, {"x": {"a": [1, "b", None]}, "k0": "k1"}]))
def test_hostile_expressions_fail_only_as_they_should(text: str, body: Value) -> None:
    """Whatever is written, and whatever comes: a value, or an error of our own."""
    with suppress(ExpressionError, RuleError):
        compile(text).evaluate({"x": body, "body": body, "k0": body, "s": "s", "i": 1})


PARTS = st.one_of(HOSTILE, hostile_expressions().map(lambda text: f"${{{text}}}"), st.just("${body.x}"))
TEMPLATES: st.SearchStrategy[Value] = st.recursive(
    st.lists(PARTS, max_size=3).map("".join) | st.integers(-(2**63), 2**64 - 1) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.lists(PARTS, max_size=2).map("".join), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(TEMPLATES)
def test_templates_become_numbered_names(template: Value) -> None:
    """Nor does any key or text of a template."""
    with suppress(ExpressionError, TemplateError):
        check("", IN_RULES, lambda generator: _bytes(generator, template))
    if isinstance(template, str):
        with suppress(ExpressionError):
            pieces = pieces_of(template)
            check(template, IN_RULES, lambda generator: _text(generator, pieces, "h_strict"))
