"""The language against Google's implementation in C++: the same value of the same type, or an error in both."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_encoders, ext_math, ext_optional, ext_strings
from hypothesis import given, settings

from bridge.errors import RuleError
from bridge.routing.expression import ExpressionError, compile  # noqa: A004  named like re.compile
from bridge.routing.values import Duration, Optional, Timestamp, Type, Uint, Value, type_name
from tests.routing.cel_expressions import BINDINGS, expressions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ERROR = ("error", None)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DECLARED = {
    "i": cel.Type.INT,
    "j": cel.Type.INT,
    "u": cel.Type.UINT,
    "d": cel.Type.DOUBLE,
    "s": cel.Type.STRING,
    "y": cel.Type.BYTES,
    "z": cel.Type.BOOL,
    "t": cel.Type.TIMESTAMP,
} | dict.fromkeys("nlm", cel.Type.DYN)
EXTENSIONS = [
    ext_strings.ExtStrings(),
    ext_optional.ExtOptional(),
    ext_math.ExtMath(),
    ext_encoders.ExtEncoders(),
]
REFERENCE = cel.NewEnv(variables=DECLARED, extensions=EXTENSIONS)
KINDS = {
    "NULL": "null_type",
    "TIMESTAMP": "google.protobuf.Timestamp",
    "DURATION": "google.protobuf.Duration",
    "OPTIONAL": "optional_type",
}


def theirs(text: str, bindings: Mapping[str, Value]) -> Value:
    """What the reference makes of it: type and value, nested."""
    data = {**bindings, "t": EPOCH + timedelta(seconds=bindings["t"])}
    try:
        value = REFERENCE.compile(text, disable_check=True).eval(data=data)
    except Exception:  # noqa: BLE001  whatever it raises is its word for a mistake
        return ERROR
    return described(value)


def described(value: Any) -> Value:
    kind = kind_of(value.type())
    if kind in {"error", "optional_type"}:  # what an optional holds cannot be had from outside
        return kind, None
    held = value.value()
    if kind == "list":
        return kind, [described(item) for item in held]
    if kind == "map":
        return kind, {shown_key(key): described(item) for key, item in held.items()}
    return kind, PLAIN.get(type(held), as_it_is)(held)


def kind_of(kind: Any) -> str:
    name: str = kind.name().partition("<")[0]
    return KINDS.get(name, name.lower())


def ours(text: str, bindings: Mapping[str, Value]) -> Value:
    """What rules make of it, in the same form."""
    env = {**bindings, "u": Uint(bindings["u"]), "t": Timestamp(bindings["t"] * 10**9)}
    try:
        return plain(compile(text).evaluate(env))
    except (RuleError, ExpressionError):
        return ERROR


def plain(value: Value) -> Value:
    kind = type_name(value)
    if kind == "list":
        return kind, [plain(item) for item in value]
    if kind == "map":
        return kind, {shown_key(key): plain(item) for key, item in value.items()}
    return kind, PLAIN.get(type(value), as_it_is)(value)


def shown_key(key: Value) -> str:
    return repr(key if isinstance(key, bool | str) else int(key))


def as_it_is(value: Value) -> Value:
    return value


PLAIN: dict[type, Callable[[Any], Value]] = {
    float: repr,
    bytearray: bytes,
    cel.Type: kind_of,
    Uint: int,
    Timestamp: lambda value: EPOCH + timedelta(microseconds=value.ns // 1000),
    Duration: lambda value: timedelta(microseconds=int(math.copysign(abs(value.ns) // 1000, value.ns))),
    Type: lambda value: value.name,
    Optional: lambda _: None,
}


# What is known to differ. Where the specification leaves a choice, rules do as the implementation in Go does, which
# Kubernetes has. Each looks at the expression, the variables, our outcome and theirs.
KNOWN: dict[str, Callable[[str, Mapping[str, Value], Value, Value], object]] = {
    "C++ takes text with spaces around a number, and hexadecimal text for a double": lambda text, _, mine, __: (
        mine == ERROR and ("'0x1F'" in text or "' 1'" in text)
    ),
    "C++ writes a fraction of a second with 3, 6 or 9 digits": lambda text, _, mine, other: (
        ("string(" in text or "format(" in text) and short(mine) == short(other)
    ),
    "C++ writes doubles from 1e15 on with an exponent": lambda text, _, mine, other: (
        "string(" in text and in_digits(mine, 17) == in_digits(other, 17)
    ),
    "C++ formats doubles in lists and maps with six digits": lambda text, _, mine, other: (
        "format([" in text and in_digits(mine, 5) == in_digits(other, 5)
    ),
    "C++ formats bytes that are no UTF-8 text": lambda text, _, mine, __: (
        mine == ERROR and "format(" in text and ("\\xff" in text or "y" in text)
    ),
    "C++ formats doubles by %d with six digits, and years before 1000 without their zeros": lambda text, *_: (
        "'%d'.format" in text or "-%d%%'.format" in text or ("'%s" in text and "0001-01-01" in text)
    ),
    "has() of a field of null is false in rules, as a tombstone has no fields": lambda text, _, mine, other: (
        "has(" in text and mine != ERROR and other == ERROR
    ),
    "base64.encode takes text in rules": lambda text, _, mine, other: (
        "base64.encode(" in text and mine != ERROR and other == ERROR
    ),
    "Rules refuse at once what can work for no message": lambda text, _, mine, __: mine == ERROR and refused(text),
    "C++ splits empty text by empty text into one part": lambda text, *_: ".split(" in text,
    "Python has no moment beyond the year 9999 in any time zone": lambda text, _, mine, __: (
        mine == ERROR and re.search(r"(9999-12-31|0001-01-01).*\.get\w+\([^)]", text)
    ),
}


def refused(text: str) -> bool:
    """Whether a literal in it can never be what it is used as."""
    try:
        compile(text)
    except ExpressionError as error:
        return error.message.startswith("this is no ")
    return False


def short(outcome: Value) -> str:
    """An outcome without the zeros at the end of seconds."""
    return re.sub(r"(\.\d*?)0+([sSzZ])", r"\1\2", repr(outcome))


def in_digits(outcome: Value, digits: int) -> str:
    """An outcome with every number in it in one form."""
    return re.sub(r"\d+(\.\d+)?(e[+-]\d+)?", lambda found: f"{float(found[0]):.{digits}g}", repr(outcome).lower())


def is_known(text: str, bindings: Mapping[str, Value], mine: Value, other: Value) -> bool:
    return any(applies(text, bindings, mine, other) for applies in KNOWN.values())


@settings(max_examples=500, derandomize=True, deadline=None)
@given(expressions(), BINDINGS)
def test_expressions_are_what_the_reference_says(text: str, bindings: dict[str, Value]) -> None:
    """The same value of the same type, or both have none."""
    mine, other = ours(text, bindings), theirs(text, bindings)
    assert mine == other or is_known(text, bindings, mine, other), text


def test_most_expressions_have_a_value() -> None:
    """The comparison is about values, not about errors: of the examples at least half have one."""
    outcomes: list[Value] = []

    @settings(max_examples=200, derandomize=True, deadline=None, database=None)
    @given(expressions(), BINDINGS)
    def collect(text: str, bindings: dict[str, Value]) -> None:
        outcomes.append(theirs(text, bindings))

    collect()
    assert sum(outcome != ERROR for outcome in outcomes) > len(outcomes) / 2
