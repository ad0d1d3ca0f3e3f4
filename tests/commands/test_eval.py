"""``workflow-bridge eval``: one expression, and many of them line by line."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bridge.cli import app
from bridge.commands import eval as command
from bridge.routing.trial import evaluate
from bridge.routing.typed import literal, typed
from bridge.routing.values import NONE, Duration, Optional, Timestamp, Uint, Value

if TYPE_CHECKING:
    from typer.testing import Result


def run(*arguments: str, given_input: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["eval", *arguments], input=given_input, catch_exceptions=False)


def test_a_value_is_shown_with_its_type() -> None:
    """Exit 0; the value is an expression of CEL, its type stands behind it."""
    result = run('[1u, 2.0, b"\\xff", "a\\u2028\\x7f", timestamp("2026-01-01T00:00:00Z"), optional.none()]')
    expected = '[1u, 2.0, b"\\xff", "a\\u2028\\u007f", timestamp("2026-01-01T00:00:00Z"), optional.none()]  (list)\n'
    assert (result.exit_code, result.output) == (0, expected)
    assert run("--", "-1 + 3").output == "2  (int)\n"
    assert run("-", given_input="1 +\n2").output == "3  (int)\n"


def test_json_loses_nothing() -> None:
    """Integers are decimal text, bytes base64, lists and maps typed all the way down."""
    result = run("--json", '{"a": [9223372036854775807, 18446744073709551615u], 2: duration("1h"), true: b"\\xff"}')
    assert result.exit_code == 0
    assert json.loads(result.output) == {
        "type": "map",
        "value": [
            [
                {"type": "string", "value": "a"},
                {
                    "type": "list",
                    "value": [
                        {"type": "int", "value": "9223372036854775807"},
                        {"type": "uint", "value": "18446744073709551615"},
                    ],
                },
            ],
            [{"type": "int", "value": "2"}, {"type": "google.protobuf.Duration", "value": "3600s"}],
            [{"type": "bool", "value": True}, {"type": "bytes", "value": "/w=="}],
        ],
    }


@pytest.mark.parametrize(
    ("expression", "code", "place"),
    [
        ("1 +\n  2 /", 2, "      2 /\n         ^"),
        ("'a' == 'b' || [1].map(x, x).size() > body.n", 1, "body.n\n" + " " * 41 + "^"),
        ("'a' + (1 / 0 == 1 ? 'b' : 'c')", 1, "'c')\n" + " " * 13 + "^"),
        ("has(a.b) || [1, 2].all(x, x > a)", 1, "    has(a.b) || [1, 2].all(x, x > a)\n        ^"),
        ("(1).size(2, 3)", 2, "    (1).size(2, 3)\n        ^"),
    ],
)
def test_a_mistake_is_shown_at_its_place(expression: str, code: int, place: str) -> None:
    """A caret stands below what is no CEL (exit 2), or below the part that has no value (exit 1)."""
    result = run(expression)
    assert result.exit_code == code
    assert place in result.stderr
    as_json = run("--json", expression)
    assert (as_json.exit_code, list(json.loads(as_json.stdout))) == (code, ["error"])


def test_bindings_are_plain_or_typed(tmp_path: Path) -> None:
    """Plain JSON is what a body is; an object of type and value says what JSON cannot."""
    file = tmp_path / "bindings.json"
    file.write_text(
        json.dumps(
            {
                "body": {"id": 2**63, "type": "int", "list": [{"type": "int", "value": "1"}]},
                "u": {"type": "uint", "value": 5},
                "b": {"type": "bytes", "value": "/w=="},
                "t": {"type": "timestamp", "value": "2026-01-01T00:00:00Z"},
                "d": {"type": "google.protobuf.Duration", "value": "1h"},
                "l": {"type": "list", "value": [{"type": "double", "value": "NaN"}, {"type": "int", "value": "3"}]},
                "m": {"type": "map", "value": [[{"type": "int", "value": "1"}, {"type": "string", "value": "x"}]]},
                "a.b": 1,
            }
        )
    )
    expression = (
        "type(body.id) == uint && u == 5u && b == b'\\xff' && t + d > t && l[0] != l[0] && l[1] == 3"
        " && m[1] == 'x' && a.b == 1 && type(u) == uint && body.list[0].value == '1'"
    )
    result = run("--bindings", str(file), expression)
    assert (result.exit_code, result.output) == (0, "true  (bool)\n")
    assert run("-b", "-", "x", given_input='{"x": 1.50}').output == "1.5  (double)\n"


@pytest.mark.parametrize(
    ("bindings", "why"),
    [
        ('{"x": {"type": "uint", "value": "-1"}}', "the binding x: this number does not fit in a uint"),
        ('{"x": {"type": "bytes", "value": "!"}}', "the binding x: this is no value of the type bytes"),
        ('{"x": {"type": "list", "value": [{"type": "nope", "value": 1}]}}', 'the binding x: there is no type "nope"'),
        ('{"x": 18446744073709551616}', "an integer beyond 64 bits"),
        ("[1]", "must be a JSON object"),
        ("{", "not JSON"),
    ],
)
def test_wrong_bindings_are_refused(bindings: str, why: str) -> None:
    """Exit 2, and which variable it is."""
    result = run("-b", "-", "1", given_input=bindings)
    assert result.exit_code == 2
    assert why in result.stderr


def test_a_message_has_the_variables_of_rules(tmp_path: Path) -> None:
    """Those of its broker too; a mistake is refused as in rules, and what is no message is the input's fault."""
    file = tmp_path / "message.json"
    sent = {"source": "o", "key": "17", "headers": {"h": "x"}, "body": {"n": 2**63}, "attributes": {"partition": 3}}
    file.write_text(json.dumps(sent))
    value = run("-m", str(file), "[source, key, headers.h, partition, type(body.n) == uint]")
    assert value.output == '["o", "17", "x", 3, true]  (list)\n'
    assert [run("-m", str(file), text).exit_code for text in ("offset", "offst", "vars.x", "body.m")] == [1, 2, 2, 1]
    assert run("-m", "-", "1", given_input='{"boddy": 1}').exit_code == 2
    assert run("-m", "-", "body", given_input='{"body": {"text": "no JSON"}}').exit_code == 2
    assert run("-m", str(file), "-b", str(file), "1").exit_code == 2


def test_lines_are_answered_one_by_one() -> None:
    """Each line has its answer, in order; a bad one has its error, and the next ones are answered."""
    asked = [
        b'{"expr": "x + 1u", "bindings": {"x": {"type": "uint", "value": "5"}}, "name": "kept out"}',
        b"no JSON",
        b'{"expr": "1 +"}',
        b"",
        b'{"expr": "a.b > 1/0", "bindings": {"a.b": 1}}',
        b'{"expr": 1}',
        b'{"expr": "1", "bindings": [1]}',
        b"\xff",
        b'{"expr": "x", "bindings": {"x": ' + b"[" * 500 + b"]" * 500 + b"}}",
        b'{"expr": "\\"last\\""}',
    ]
    result = run("--lines", given_input=b"\n".join(asked))
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.exit_code, len(answers)) == (0, len(asked))
    assert ["not JSON" in answer.get("error", "") for answer in answers].index(True) == 1
    assert [answer.get("error", answer) for answer in answers if "not JSON" not in answer.get("error", "")] == [
        {"type": "uint", "value": "6"},
        "1:4: expected a value, found the end",
        "1:8: division by zero",
        'a line is a JSON object such as {"expr": "x + 1", "bindings": {"x": 1}}',
        "bindings must be an object of names and values",
        "the value has more than 100 levels",
        {"type": "string", "value": "last"},
    ]


def test_a_line_without_end_is_an_error_not_a_full_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line beyond the limit is passed over, and the next one is answered."""
    monkeypatch.setattr(command, "LONGEST_LINE", 64)
    long = b'{"expr": "' + b" " * 200 + b'1"}'
    result = run("--lines", given_input=long + b"\n" + b'{"expr": "1"}\n' + b'{"expr": "2"}')
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"error": "the line is longer than 64 bytes"},
        {"type": "int", "value": "1"},
        {"type": "int", "value": "2"},
    ]


def test_each_answer_is_written_at_once() -> None:
    """Whoever asks through a pipe has the answer before it asks again."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "eval", "--lines"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for number in range(3):
        process.stdin.write(b'{"expr": "%d + 1"}\n' % number)
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == {"type": "int", "value": str(number + 1)}
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()


def test_lines_and_an_expression_exclude_each_other() -> None:
    """Exit 2 for what cannot be meant."""
    assert [run("--lines", "1").exit_code, run().exit_code] == [2, 2]


GUIDE = (Path(__file__).parents[2] / "config" / "rules.md").read_text()
EXAMPLES = re.findall(r"^\$ (?:echo '(.*)' \| )?workflow-bridge eval (.*)\n((?:(?!\$ |```).*\n)+)", GUIDE, re.MULTILINE)


@pytest.mark.parametrize(("piped", "arguments", "output"), EXAMPLES)
def test_the_guide_shows_what_is_printed(piped: str, arguments: str, output: str) -> None:
    """Each command of the guide prints what stands below it."""
    assert run(*shlex.split(arguments), given_input=piped + "\n").output == output


SCALARS: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1).map(Uint),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.integers(-62_135_596_800 * 10**9, 253_402_300_799 * 10**9).map(Timestamp),
    st.integers(-(2**63) + 1, 2**63 - 1).map(Duration),
    st.just(NONE),
)
KEYS = st.one_of(st.text(max_size=3), st.integers(2, 9), st.integers(12, 19).map(Uint))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(KEYS, inner), inner.map(Optional)),
    max_leaves=8,
)


@given(VALUES)
def test_what_eval_prints_is_what_it_reads(value: Any) -> None:
    """A typed value, given back as a binding, is the same value; so is its literal, computed."""
    described = json.loads(json.dumps(typed(value)))
    assert typed(evaluate("x", {"x": described})) == described
    assert typed(evaluate(literal(value), {})) == described
