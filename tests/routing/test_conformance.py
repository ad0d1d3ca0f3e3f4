"""The language against the specification's own conformance cases."""

from __future__ import annotations

import math

import pytest

from bridge.errors import RuleError
from bridge.routing.expression import ExpressionError, compile  # noqa: A004  named like re.compile
from bridge.routing.values import Value, equal, type_name
from tests.routing.conformance_cases import FILES, applies, cases, value_of

# What is known to differ, each with its reason.
DIFFERENT = {
    "string_ext/format/map support (all key types)": "a Python dict takes the keys 1 and true for one",
}


def parameter(name: str, case: dict[str, Value]) -> Value:
    full = f"{name}/{case['section']}/{case['name']}"
    marks = [pytest.mark.xfail(reason=DIFFERENT[full], strict=True)] if full in DIFFERENT else []
    return pytest.param(case, id=full, marks=marks)


CASES = [parameter(name, case) for name in FILES for case in cases(name) if applies(case)]


def outcome(case: dict[str, Value]) -> Value:
    env = {item["key"]: value_of(item["value"]["value"]) for item in case.get("bindings", [])}
    return compile(case["expr"]).evaluate(env)


def same(actual: Value, expected: Value) -> bool:
    """The same value of the same type; NaN is itself here."""
    if type(expected) is float and math.isnan(expected):
        return type(actual) is float and math.isnan(actual)
    return type_name(actual) == type_name(expected) and equal(actual, expected)


@pytest.mark.parametrize("case", CASES)
def test_conformance_case(case: dict[str, Value]) -> None:
    """The expression gives the value, or the error, that the specification says."""
    if "eval_error" in case:
        with pytest.raises((RuleError, ExpressionError)):
            outcome(case)
        return
    expected = value_of(case.get("value", {"bool_value": True}))
    actual = outcome(case)
    assert same(actual, expected), f"{case['expr']} gives {actual!r}, not {expected!r}"
