"""Random expressions of CEL and the variables they speak of: mostly well typed, so that they say something."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

INTS = ["0", "1", "-1", "2", "7", "-3", "64", "9223372036854775807", "-9223372036854775808", "0x1F", "i", "j"]
UINTS = ["0u", "1u", "7u", "18446744073709551615u", "0xFFu", "u"]
DOUBLES = ["0.0", "-0.0", "1.0", "1.5", "-2.5", "1e3", "1e308", "5e-324", "0.1", "9007199254740993.0", "d"]
DOUBLES += ["double('NaN')", "double('Infinity')", "2.5", "-0.5", "9223372036854775807.0", "1e-7", "1e21"]
STRINGS = [
    "''",
    "'a'",
    "'abc'",
    "'aXbXc'",
    "'éß€😀'",
    "'  pad\\t'",
    '"q\\"\\n"',
    "r'\\d+'",
    "'10'",
    "'-7'",
    "'1.5'",
    "s",
]
STRINGS += ["'true'", "'TRUE'", "'1e3'", "' 1'", "'%s'", "'0x1F'", "'b'", "'ab'", "'+5'", "'1_000'", "'.'", "'é'"]
BYTES = ["b''", "b'abc'", "b'\\xff\\000'", "b'é'", "y"]
BOOLS = ["true", "false", "z"]
LISTS = ["[]", "[1, 2, 3]", "[1, 2u, 3.0, 'x', null]", "['a', 'b', 'c']", "[[1], [2, [3]]]", "[true, false]", "l"]
LISTS += ["['b', 'a', 'b']", "[1.0, double('NaN')]", "[3, 1, 2]"]
MAPS = ["{}", "{'a': 1, 'b': 'x'}", "{1: 'one', 2u: 'two'}", "{true: 0, 'k': null}", "{'a': {'b': [1, {'c': 2}]}}", "m"]
TIMES = ["timestamp('2009-02-13T23:31:30Z')", "timestamp('2024-02-29T00:00:00.123456789Z')", "timestamp(0)", "t"]
TIMES += ["timestamp('1969-12-31T23:59:59.999Z')", "timestamp('0001-01-01T00:00:00Z')"]
TIMES += ["timestamp('9999-12-31T23:59:59.999999999Z')", "timestamp('2023-12-25T01:02:03+05:30')"]
DURATIONS = ["duration('0s')", "duration('1h30m')", "duration('-1.5s')", "duration('100ns')", "duration('1000000s')"]
ZONES = ["'UTC'", "'Europe/Berlin'", "'America/St_Johns'", "'+02:30'", "'-08:00'", "'Nowhere/None'", "s"]

_PARTS = ["getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours"]
_PARTS += ["getMinutes", "getSeconds", "getMilliseconds"]
_SPANS = ["getHours", "getMinutes", "getSeconds", "getMilliseconds"]

# {kind} is a hole for an expression of that kind; the braces of CEL's maps are doubled.
TEMPLATES: dict[str, list[str]] = {
    "int": [
        *(f"({{int}} {sign} {{int}})" for sign in "+-*/%"),
        "-({int})",
        *(f"int({{{kind}}})" for kind in ("int", "uint", "double", "string", "time")),
        *(f"size({{{kind}}})" for kind in ("string", "bytes", "list", "map")),
        *("{string}.size()", "{list}.size()", "{string}.indexOf({string})", "{string}.indexOf({string}, {int})"),
        *("{string}.lastIndexOf({string})", "{string}.lastIndexOf({string}, {int})"),
        *(f"{{time}}.{part}()" for part in _PARTS),
        *(f"{{time}}.{part}({{zone}})" for part in _PARTS),
        *(f"{{duration}}.{part}()" for part in _SPANS),
    ],
    "uint": [*(f"({{uint}} {sign} {{uint}})" for sign in "+-*/%")]
    + [f"uint({{{kind}}})" for kind in ("int", "uint", "double", "string")],
    "double": [*(f"({{double}} {sign} {{double}})" for sign in "+-*/"), "-({double})"]
    + [f"double({{{kind}}})" for kind in ("int", "uint", "double", "string")]
    + ["math.ceil({double})", "math.floor({double})", "math.round({double})", "math.trunc({double})"],
    "string": [
        *("({string} + {string})", "({string} + {string} + {string})"),
        *(f"string({{{kind}}})" for kind in ("int", "uint", "double", "string", "bytes", "bool", "time", "duration")),
        *("{string}.charAt({int})", "{string}.lowerAscii()", "{string}.upperAscii()", "{string}.trim()"),
        *("{string}.replace({string}, {string})", "{string}.replace({string}, {string}, {int})"),
        *("{string}.substring({int})", "{string}.substring({int}, {int})", "{string}.reverse()"),
        *("['a', {string}].join({string})", "{list}.join(',')", "{string}.split({string}).join('|')"),
        *(f"'%{clause}'.format([{{any}}])" for clause in ("s", "d", "f", ".3f", "e", ".0e", "x", "X", "o", "b")),
        *("'%s-%d%%'.format([{any}, {int}])", "strings.quote({string})", "base64.encode({bytes})"),
    ],
    "bytes": ["({bytes} + {bytes})", "bytes({string})", "bytes({bytes})", "base64.decode(base64.encode({bytes}))"],
    "bool": [
        *(f"({{{kind}}} {sign} {{{kind}}})" for kind in ("int", "any") for sign in ("==", "!=", "<", "<=", ">", ">=")),
        *(f"({{number}} {sign} {{number}})" for sign in ("==", "!=", "<", "<=", ">", ">=")),
        *("({bool} && {bool})", "({bool} || {bool})", "({bool} && {any})", "({any} || {bool})", "!{bool}"),
        *("({any} in {list})", "({any} in {map})", "bool({string})", "bool({bool})"),
        *(f"{{string}}.{name}({{string}})" for name in ("contains", "startsWith", "endsWith", "matches")),
        *("{list}.all(x, {bool})", "{list}.exists(x, {bool})", "{list}.exists_one(x, {bool})", "{map}.all(k, {bool})"),
        *("{list}.all(x, x == {any})", "{list}.exists(x, x == {any})", "{list}.exists_one(x, x > {number})"),
        *("{map}.exists(k, k == {any})", "has({map}.a)", "has({map}.a.b)", "{optional}.hasValue()"),
        *("(type({any}) == type({any}))", "(dyn({any}) == {any})", "({time} < {time})", "({duration} >= {duration})"),
    ],
    "list": [
        *(
            "({list} + {list})",
            "[{any}, {any}]",
            "{list}.map(x, x)",
            "{list}.map(x, {any})",
            "{list}.map(x, [x, {any}])",
        ),
        *(
            "{list}.filter(x, {bool})",
            "{list}.filter(x, x != {any})",
            "{list}.map(x, {bool}, x)",
            "{map}.filter(k, {bool}).map(k, 1)",
        ),
        *("{string}.split({string})", "{string}.split({string}, {int})", "[?{optional}, {any}]"),
    ],
    "map": ["{{'a': {any}, 'b': {any}}}", "{{{int}: {any}}}", "{{{string}: {any}}}", "{{?'a': {optional}}}"],
    "time": ["({time} + {duration})", "({time} - {duration})", "timestamp({string})", "timestamp({int})"],
    "duration": ["({time} - {time})", "({duration} + {duration})", "({duration} - {duration})", "duration({string})"],
    "optional": [
        *("optional.of({any})", "optional.none()", "optional.ofNonZeroValue({any})", "{map}.?a", "{map}[?'a']"),
        *("{list}[?{int}]", "{map}.?a.?b", "{optional}.or({optional})", "{optional}.optMap(o, {any})"),
        *("{optional}.optMap(o, o)", "{optional}.optFlatMap(o, {optional})"),
    ],
    "any": [
        *("({bool} ? {any} : {any})", "{list}[{int}]", "{map}.a", "{map}['a']", "{map}[{any}]", "{list}[{number}]"),
        *("{optional}.value()", "{optional}.orValue({any})", "type({any})", "dyn({any})", "null", "n"),
    ],
}
LEAVES = {
    "int": INTS,
    "uint": UINTS,
    "double": DOUBLES,
    "string": STRINGS,
    "bytes": BYTES,
    "bool": BOOLS,
    "list": LISTS,
    "map": MAPS,
    "time": TIMES,
    "duration": DURATIONS,
    "zone": ZONES,
    "optional": ["optional.none()", "optional.of(1)", "m.?a"],
}
KINDS = ("int", "uint", "double", "string", "bytes", "bool", "list", "map", "time", "duration")
_HOLE = re.compile(r"\{\{|\}\}|\{(\w+)\}")


def _kind(draw: st.DrawFn, wanted: str) -> str:
    if wanted == "number":
        return draw(st.sampled_from(("int", "uint", "double")))
    if wanted == "any" and draw(st.integers(0, 2)):
        return draw(st.sampled_from(KINDS))
    return wanted


def _expression(draw: st.DrawFn, wanted: str, depth: int) -> str:
    if draw(st.integers(0, 24)) == 24:  # now and then something of another type
        wanted = "any"
    kind = _kind(draw, wanted)
    if kind == "any" and depth <= 0:
        kind = draw(st.sampled_from(KINDS))
    if kind not in TEMPLATES or depth <= 0 or (draw(st.integers(0, 3)) == 0 and kind != "any"):
        return draw(st.sampled_from(LEAVES[kind]))
    template = draw(st.sampled_from(TEMPLATES[kind]))

    def fill(hole: re.Match[str]) -> str:
        return hole[0][0] if hole[1] is None else _expression(draw, hole[1], depth - 1)

    return _HOLE.sub(fill, template)


@st.composite
def expressions(draw: st.DrawFn) -> str:
    """The text of an expression; of its parts one in twenty-five is of a type that its place does not want."""
    return _expression(draw, draw(st.sampled_from(("any", "bool", *KINDS))), draw(st.integers(1, 4)))


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), _TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from("abk") | _TEXT, inner, max_size=4)
    ),
    max_leaves=6,
)
BINDINGS = st.fixed_dictionaries(
    {
        "i": st.integers(-(2**63), 2**63 - 1),
        "j": st.integers(-9, 9),
        "u": st.integers(0, 2**64 - 1),
        "d": st.floats(),
        "s": _TEXT,
        "y": st.binary(max_size=8).filter(lambda given: 0 not in given),
        "z": st.booleans(),
        "n": st.just(None) | _PLAIN,
        "l": st.lists(_PLAIN, max_size=4),
        "m": st.dictionaries(st.sampled_from("abk"), _PLAIN, max_size=3),
        "t": st.integers(-62_135_596_800, 253_402_300_799),  # seconds
    }
)
"""Variables as plain Python: ``u`` stands for a uint, ``t`` for a timestamp."""
