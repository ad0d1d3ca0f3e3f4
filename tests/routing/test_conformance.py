"""The language against the specification's own conformance cases, and the table that tells how it fared."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from bridge.config.conformance import FILES as TOLD
from bridge.config.conformance import MISSES, File
from bridge.errors import RuleError
from bridge.routing.expression import ExpressionError, compile  # noqa: A004  named like re.compile
from bridge.routing.values import Value, equal, type_name
from tests.routing.conformance_cases import FILES, cases, left_out, value_of

if TYPE_CHECKING:
    from tests.routing.conformance_cases import Case

REQUIRED = {
    *("basic", "comparisons", "conversions", "fields", "fp_math", "integer_math", "lists", "logic", "macros", "parse"),
    *("string", "string_ext", "timestamps"),
}
LEAST = 0.95  # of the applicable cases of each


def name_of(file: str, case: Case) -> str:
    return f"{file}/{case['section']}/{case['name']}"


def parameter(file: str, case: Case) -> Value:
    name = name_of(file, case)
    marks = [pytest.mark.xfail(reason=MISSES[name], strict=True)] if name in MISSES else []
    return pytest.param(case, id=name, marks=marks)


CASES = [parameter(file, case) for file in FILES for case in cases(file) if not left_out(case)]


def outcome(case: Case) -> Value:
    env = {item["key"]: value_of(item["value"]["value"]) for item in case.get("bindings", [])}
    return compile(case["expr"]).evaluate(env)


def same(actual: Value, expected: Value) -> bool:
    """The same value of the same type; NaN is itself here."""
    if type(expected) is float and math.isnan(expected):
        return type(actual) is float and math.isnan(actual)
    return type_name(actual) == type_name(expected) and equal(actual, expected)


@pytest.mark.parametrize("case", CASES)
def test_conformance_case(case: Case) -> None:
    """The expression gives the value, or the error, that the specification says."""
    if "eval_error" in case:
        with pytest.raises((RuleError, ExpressionError)):
            outcome(case)
        return
    expected = value_of(case.get("value", {"bool_value": True}))
    actual = outcome(case)
    assert same(actual, expected), f"{case['expr']} gives {actual!r}, not {expected!r}"


def counted(file: str) -> File:
    """A row of the table: the misses are those that the test above knows to fail, and fails if they do not."""
    found = cases(file)
    reasons = Counter(left_out(case) for case in found)
    applicable = reasons.pop("", 0)
    missed = sum(name_of(file, case) in MISSES for case in found)
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return File(file, applicable - missed, applicable, told)


def test_the_table_is_what_the_cases_say() -> None:
    """What ``config/README.md`` tells of each file is what its cases say, and no miss is made up."""
    assert [counted(file) for file in FILES] == list(TOLD), "bridge/config/conformance.py is to have the left side"
    assert set(MISSES) <= {name_of(file, case) for file in FILES for case in cases(file) if not left_out(case)}


@pytest.mark.parametrize("file", sorted(REQUIRED))
def test_nearly_all_of_the_language_is_there(file: str) -> None:
    """Of each file of the language itself and the string extension, 95 of 100 applicable cases pass."""
    row = next(row for row in TOLD if row.name == file)
    assert row.passed >= LEAST * row.applicable
    assert row.applicable > 0


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ({"expr": "1 in {1: 2}"}, ""),
        ({"expr": "'TestAllTypes{}' + x"}, ""),
        (
            {
                "expr": "timestamp(0) == x",
                "value": {"object_value": {"[type.googleapis.com/google.protobuf.Duration]": {}}},
            },
            "",
        ),
        ({"expr": "google.protobuf.Timestamp{seconds: 1}"}, "protobuf messages"),
        ({"expr": "a.b.Message {}"}, "protobuf messages"),
        ({"expr": "type(google.protobuf.Int32Value)"}, "protobuf messages"),
        (
            {"expr": "x", "value": {"object_value": {"[type.googleapis.com/google.protobuf.Any]": {}}}},
            "protobuf messages",
        ),
        ({"expr": "x", "type_env": [{"ident": {"type": {"wrapper": "INT64"}}}]}, "protobuf messages"),
        ({"expr": "x", "value": {"enum_value": {}}}, "enums"),
        ({"expr": "x", "check_only": True}, "check only"),
        ({"expr": "x", "container": "c", "disable_check": True, "eval_error": {}}, ""),
    ],
)
def test_what_does_not_apply_is_told_by_its_data(case: Case, reason: str) -> None:
    """Protobuf and the checker, and nothing else."""
    assert left_out(case) == reason
