"""Messages as JSON: whole and exact on the way out and back, and easy to write by hand."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import recorded
from bridge.dead_letters.kept import encode as encode_letter
from bridge.errors import NotAMessage
from bridge.message import Message
from bridge.outbox.base import DeadLetter, StoredDeadLetter

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)  # halves of surrogate pairs too
NUMBERS = st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False)
SCALARS = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(max_size=10)
JSON_VALUES = st.recursive(
    SCALARS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
BODIES = (
    st.none()
    | st.binary(max_size=40)
    | JSON_VALUES.map(orjson.dumps)
    | JSON_VALUES.map(lambda value: json.dumps(value, indent=1).encode())
    | st.sampled_from([b"1.10", b'{"a":1.10,"a":2}', b"1e400", b'"\\ud800"', b"123456789012345678901234567890"])
)
MESSAGES = st.builds(
    Message,
    ANY_TEXT,
    ANY_TEXT,
    ANY_TEXT,
    st.none() | st.binary(max_size=20),
    st.lists(st.tuples(ANY_TEXT, st.none() | st.booleans() | NUMBERS | ANY_TEXT | st.binary(max_size=20)), max_size=5),
    BODIES,
    st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
    st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers(-(1 << 63), (1 << 63) - 1), max_size=4),
    st.booleans(),
    st.booleans(),
)


def typed(message: Message) -> list[object]:
    """With the types of headers: 1, 1.0 and True are equal."""
    return [message, [type(value) for _, value in message.headers]]


@given(MESSAGES)
def test_every_message_comes_back_as_it_was(message: Message) -> None:
    """One line of text holds every message to the byte, the types of its headers included."""
    line = recorded.encode(message)
    assert b"\n" not in line
    assert typed(recorded.decode(line).message) == typed(message)


@given(MESSAGES)
def test_the_full_form_comes_back_too(message: Message) -> None:
    """What dead letters show of a message is the message, where UTF-8 has bytes for its texts."""
    try:
        line = orjson.dumps(recorded.plain(message))
    except TypeError:  # half of a surrogate pair
        return
    assert typed(recorded.decode(line).message) == typed(message)


def test_floats_that_are_no_numbers_come_back() -> None:
    """NaN in a header is NaN again."""
    message = Message("s", "i", "c", None, [("x", math.nan), ("y", math.inf)], None, None, {})
    (_, nan), (_, inf) = recorded.decode(recorded.encode(message)).message.headers
    assert math.isnan(nan)  # type: ignore[arg-type]
    assert inf == math.inf


def test_a_dead_letter_is_taken_for_its_message() -> None:
    """A line of ``dead-letters list --json`` can be given wherever a message can."""
    message = Message("s", "i", "c", b"\xff", [("x", b"1")], b'{"a": 1.10}', 5, {"offset": 1}, has_identity=False)
    line = encode_letter(StoredDeadLetter(7, DeadLetter(message, "unmatched", "", died_ms=1)))
    assert recorded.decode(line).message == message


@pytest.mark.parametrize(
    ("written", "body"),
    [
        (None, None),
        ({"type": "order.created", "n": [1, 2.5]}, b'{"type":"order.created","n":[1,2.5]}'),
        ([1], b"[1]"),
        (12, b"12"),
        (True, b"true"),
        ("text as it is", b"text as it is"),
        ({"text": "t"}, b"t"),
        ({"base64": "/wA="}, b"\xff\x00"),
        ({"json": "t"}, b'"t"'),
        ({"json": None}, b"null"),
        ({"json": {"text": "t"}}, b'{"text":"t"}'),
        ({"text": "t", "other": 1}, b'{"text":"t","other":1}'),
        ({"é": 1 << 80}, '{"é":1208925819614629174706176}'.encode()),
    ],
)
def test_a_body_is_written_as_it_comes(written: object, body: bytes | None) -> None:
    """A JSON value is its text, text is itself, bytes are base64; null is a tombstone."""
    assert recorded.read({"body": written}).message.body == body


@pytest.mark.parametrize("number", ["1.10", "1E2", "12345678901234567890123", "-0", "1e400", "0.1"])
def test_numbers_keep_their_spelling(number: str) -> None:
    """A body in a JSON file is what was written, but for white space between its values."""
    spelled = number.encode()
    assert recorded.decode(b'{"body": %s}' % spelled).message.body == spelled
    assert recorded.decode(b'{"body": {"a": [%s ]}}' % spelled).message.body == b'{"a":[%s]}' % spelled


def test_everything_may_be_left_out() -> None:
    """What matters is enough; what was there is known."""
    message, given, value = recorded.read({"body": {"a": 1}, "source": "orders"})
    assert message == Message("orders", "", "", None, [], b'{"a":1}', None, {})
    assert given == {"body", "source"}
    assert value is recorded.UNDECODED


def test_headers_are_a_mapping_or_pairs() -> None:
    """Either way of writing them; pairs may repeat a name."""
    assert recorded.read({"headers": {"a": "x", "b": 1, "c": {"base64": "/w=="}}}).message.headers == [
        ("a", "x"),
        ("b", 1),
        ("c", b"\xff"),
    ]
    assert recorded.read({"headers": [["a", "x"], ["a", None], {"name": "b", "text": "y"}]}).message.headers == [
        ("a", "x"),
        ("a", None),
        ("b", b"y"),
    ]


def test_a_time_can_be_written_for_people() -> None:
    """ISO 8601, in UTC where it does not say."""
    wanted = 1_767_323_045_250
    for text in ("2026-01-02T03:04:05.25Z", "2026-01-02T04:04:05.250+01:00", "2026-01-02T03:04:05.250"):
        assert recorded.read({"timestamp": text}).message.timestamp_ms == wanted


def test_the_decoded_value_can_be_given_instead_of_a_body() -> None:
    """For codecs whose bytes nobody writes by hand."""
    assert recorded.read({"value": {"a": 1}}).value == {"a": 1}
    assert recorded.read({"value": None}).value is None


@pytest.mark.parametrize(
    ("written", "path", "said"),
    [
        ([], (), "mapping"),
        ({"boddy": 1}, ("boddy",), "is body meant?"),
        ({"body": 1, "value": 1}, ("value",), "keep one"),
        ({"timestamp": "now"}, ("timestamp",), "2026"),
        ({"timestamp_ms": "5"}, ("timestamp_ms",), "integer"),
        ({"source": 5}, ("source",), "quotes"),
        ({"redelivered": "no"}, ("redelivered",), "true or false"),
        ({"key": 5}, ("key",), "write text"),
        ({"key": {"text": "a", "base64": "aa"}}, ("key",), "write text"),
        ({"key": {"base64": "?"}}, ("key", "base64"), "not base64"),
        ({"body": math.nan}, ("body",), "no form in JSON"),
        ({"headers": 5}, ("headers",), "mapping"),
        ({"headers": [["a"]]}, ("headers", 0), "[name, value]"),
        ({"headers": [[1, "a"]]}, ("headers", 0), "quotes"),
        ({"headers": {"a": [1]}}, ("headers", "a"), "text, a number"),
        ({"headers": {"a": {"type": "int", "value": "x"}}}, ("headers", "a"), "no int"),
        ({"headers": {"a": {"type": ["int"], "value": 1}}}, ("headers", "a"), "is one of"),
        ({"headers": {"a": {"type": "int", "value": None}}}, ("headers", "a"), "cannot have this value"),
        ({"headers": {"a": {"type": "bool", "value": 1}}}, ("headers", "a"), "no bool"),
        ({"headers": {"a": {"type": "text"}}}, ("headers", "a"), "has a value"),
        ({"attributes": [1]}, ("attributes",), "mapping"),
        ({"attributes": {"a": 1.5}}, ("attributes", "a"), "integer"),
    ],
)
def test_what_is_no_message_is_named(written: Any, path: tuple[str | int, ...], said: str) -> None:
    """Each mistake has its place and what to write instead."""
    with pytest.raises(NotAMessage, match=said.replace("[", r"\[").replace("?", r"\?")) as caught:
        recorded.read(written)
    assert caught.value.path == path


@given(st.binary(max_size=60) | JSON_VALUES.map(orjson.dumps))
def test_anything_else_is_refused_in_one_way(text: bytes) -> None:
    """Whatever a file holds: a message, or NotAMessage."""
    with contextlib.suppress(NotAMessage):
        recorded.decode(text)
