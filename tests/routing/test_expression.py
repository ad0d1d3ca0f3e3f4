"""The expression language beyond the specification's cases: errors, their places, and our own functions."""

from __future__ import annotations

from hashlib import sha256

import pytest

from bridge.errors import MissingField, RuleError
from bridge.routing.expression import ExpressionError, compile  # noqa: A004  named like re.compile
from bridge.routing.names import Names, Variable
from bridge.routing.values import INT_MAX, Value, type_name

BODY = Names("body", {"body": Variable("body")})


def value_of(text: str, **env: Value) -> Value:
    return compile(text).evaluate(env)


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("", "an expression is missing", 0),
        ("1 +", "expected a value, found the end", 3),
        ("body.a = 3", "equality is written ==", 7),
        ("${body.a}", "write it without ${ and }", 0),
        ('"abc', "this string has no end", 0),
        ('"a\\qb"', "this escape does not exist", 2),
        ("'\\ud800'", "this is no Unicode character", 1),
        ("99999999999999999999", "does not fit in 64 bits", 0),
        ("9223372036854775808", "does not fit in an int", 0),
        ("1.5u", "a double cannot be unsigned", 0),
        ("12abc", "a number cannot be followed by a letter", 2),
        ("body.a ? 1", "expected :", 10),
        ("[1, 2", "expected ,", 5),
        ("body.a b", "expected the end of the expression, found b", 7),
        ("Message{a: 1}", "building protobuf messages is not supported", 7),
        ("bodi.a == 1", "no variable bodi; did you mean body?", 0),
        ("body.a-b == 1", 'a field with a hyphen is written body["a-b"]', 7),
        ("body.x.a-b-c == 1", 'a field with a hyphen is written body.x["a-b-c"]', 9),
        ("headers.x-body == 'a'", 'this subtracts body; a field with a hyphen is written headers["x-body"]', 9),
        ("has(body.a-b)", "a field with a hyphen is written has(body.`a-b`)", 0),
        ("body.a and body.b", "found and; and is written &&", 7),
        ("not body.a", "not is written !", 4),
        ("body.a == no", 'did you mean false, or the text "no"?', 10),
        ("body.frobnicate()", "no function frobnicate", 5),
        ("body.startswith('a')", "did you mean startsWith?", 5),
        ("size()", "wrong number of arguments for size", 0),
        ("has(body)", "has() takes one field", 0),
        ("body.a.all(1, true)", "the first argument is the name for an element", 11),
        ("body.a.all(i, v, true)", "all with two variables is not supported", 7),
        ("body.a.matches('[')", "no regular expression (RE2)", 15),
        ("timestamp('yesterday')", "this is no timestamp", 10),
        ("for == 1", "for is a reserved word", 0),
        ("a &  b", "and is written &&", 2),
        ("- ! body.a", "expected a value, found !", 2),
        ("(" * 70 + "1" + ")" * 70, "nested deeper than 64", 64),
        ("body" + ".a" * 200, "more than 100 selections", 204),
        ("1" + " - 1" * 5000, "nested too deeply", 0),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, message: str, position: int) -> None:
    """What cannot work for any message is refused when the expression is compiled, with its exact place."""
    with pytest.raises(ExpressionError) as caught:
        compile(text, BODY)
    assert message in caught.value.message
    assert caught.value.position == position


def test_a_caret_stands_below_the_mistake() -> None:
    """The text of an error shows the line at fault and a caret below the place."""
    with pytest.raises(ExpressionError) as caught:
        compile("body.a == 1 &&\n\tbody.b = 2 &&\nbody.c == 3", BODY)
    assert str(caught.value).splitlines()[1:] == ["    \tbody.b = 2 &&", "    \t       ^"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9223372036854775806 + 1", INT_MAX),
        ("-9223372036854775808", -(2**63)),
        ("7 / -2", -3),
        ("-7 % 3", -1),
        ("1.0 / 0.0 == double('inf')", True),
        ("big == 18446744073709551615u", True),
        ("type(big) == uint", True),
        ("big > 1", True),
        ("true == 1", False),
        ("one == true", False),
        ("[1, true] == [true, 1]", False),
        ("true in {1: 'a'}", False),
        ("1 in {true: 'a'}", False),
        ("{1: 'a'}[1.0]", "a"),
        ("1 in [1.0, 'a']", True),
        ("true in [1]", False),
        ("'b' in {'b': null}", True),
        ("name == 'x' ? 1 : 1/0", 1),
        ("nope.a == 1 || name == 'x'", True),
        ("name == 'y' && nope.a == 1", False),
        ("nope.a == 1 && name == 'y'", False),
        ("[1, 2, 3].all(i, i / (i - 2) < 9)", None),
        ("[1, 0].exists(i, 1 / i == 1)", True),
        ("[3, 1, 2].map(i, i > 1, i * 2)", [6, 4]),
        ("[1, 2].map(i, [3, 4].map(j, i * j))", [[3, 4], [6, 8]]),
        ("{'a': 1}.map(k, k)", ["a"]),
        ("row.?missing.orValue(7)", 7),
        ("row[?'a'].orValue(7)", 1),
        ("row.?missing.hasValue()", False),
        ("row.?a.optMap(x, x + 1).orValue(0)", 2),
        ("[?row.?a, ?row.?b]", [1]),
        ("{?'a': row.?a, ?'b': row.?b}", {"a": 1}),
        ("'%s is %d'.format(['a', 2])", "a is 2"),
        ("string(2.0) + string(2.5)", "22.5"),
        ("'a,b,,c'.split(',', 2).join('|')", "a|b,,c"),
        ("  'ÄbC'.lowerAscii()  // a comment", "Äbc"),
        ("r'\\d+'.size()", 3),
        ("'''a\n'b'''", "a\n'b"),
        ("b'\\xff' + b'a'", b"\xffa"),
        ("base64.encode(b'\\xff') + base64('a')", "/w==YQ=="),
        ("base64.decode('/w')", b"\xff"),
        ("json({'a': [1, 2.5, null]})", '{"a":[1,2.5,null]}'),
        ("duration('90m').getHours()", 1),
        ("timestamp('2026-03-29T01:30:00Z').getHours('Europe/Berlin')", 3),
        ("timestamp('2026-03-29T01:30:00Z').getHours('-02:30')", 23),
        (
            "string(timestamp('2026-01-01T00:00:00.5Z') - duration('1s'))",
            "2025-12-31T23:59:59.500Z".replace("00Z", "Z"),
        ),
        ("row.package + row['in']", 5),
    ],
)
def test_values(text: str, expected: Value) -> None:
    """A table of facts of the language."""
    env = {"big": 2**64 - 1, "one": 1, "name": "x", "row": {"a": 1, "package": 2, "in": 3}}
    if expected is None:
        with pytest.raises(RuleError):
            value_of(text, **env)
        return
    assert value_of(text, **env) == expected
    assert type_name(value_of(text, **env)) == type_name(expected)


@pytest.mark.parametrize(
    "text",
    [
        "9223372036854775807 + 1",
        "-9223372036854775807 - 2",
        "9223372036854775807 * 2",
        "-(-9223372036854775808)",
        "-9223372036854775808 / -1",
        "0u - 1u",
        "18446744073709551615u + 1u",
        "1 / 0",
        "1 % 0",
        "1 + 1u",
        "1 + 1.0",
        "1 + '1'",
        "'a' < 1",
        "true < 1",
        "!1",
        "1 && true",
        "null + 1",
        "int('1x')",
        "int(1e300)",
        "'a'.substring(2)",
        "b'\\xff' + 'a'",
        "string(b'\\xff')",
        "string(null)",
        "safe_id(null)",
        "{[1]: 2}",
        "{'a': 1, 'a': 2}",
        "optional.none().value()",
        "'a'.matches(pattern)",
        "json(double('nan'))",
    ],
)
def test_runtime_errors(text: str) -> None:
    """An operation without a result is a RuleError that is not a missing field."""
    with pytest.raises(RuleError) as caught:
        value_of(text, pattern="(")
    assert not isinstance(caught.value, MissingField)


@pytest.mark.parametrize("text", ["a.b", "a['b']", "a.b.c", "l[1]", "l[-1]", "n.x", "s.x", "a.c.d", "x"])
def test_what_is_not_there_is_a_missing_field(text: str) -> None:
    """A key, an element or a field that does not exist is told apart from other errors."""
    with pytest.raises(MissingField):
        value_of(text, a={"c": None}, l=[1], n=None, s="text")


@pytest.mark.parametrize(("text", "is_missing"), [("1/0 == 1 && a.b", True), ("a.b || 1/0 == 1", False)])
def test_which_error_of_several_counts(text: str, is_missing: bool) -> None:  # noqa: FBT001  a parameter of the table
    """A missing field makes a conjunction false in any case; in a disjunction the other error is the one to tell."""
    with pytest.raises(RuleError) as caught:
        value_of(text, a={})
    assert isinstance(caught.value, MissingField) is is_missing


def test_errors_do_not_quote_the_message() -> None:
    """Values of a message stay out of error texts, which end in logs."""
    for text in ["int(a)", "timestamp(a)", "duration(a)", "bool(a)", "''.matches(a)", "{}[a]", "double(a)"]:
        with pytest.raises(RuleError) as caught:
            value_of(text, a="(s3cret")
        assert "s3cret" not in str(caught.value)


def test_hash_is_the_start_of_a_sha_256() -> None:
    """``hash`` can be computed elsewhere: it is the first half of the SHA-256 of the text."""
    assert value_of("hash('order')") == sha256(b"order").hexdigest()[:32]
    assert value_of("hash({'b': 1, 'a': 2})") == sha256(b'{"a":2,"b":1}').hexdigest()[:32]
