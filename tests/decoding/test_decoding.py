from __future__ import annotations

import json
import struct

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.decoding import Decode, DecodingSettings, decoder
from bridge.decoding.json import decode_json
from bridge.decoding.plain import decode_raw, decode_text
from bridge.decoding.settings import BINARY
from bridge.errors import Undecodable
from tests.decoding.messages import decoded, message

SCALARS = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
INTEGERS = st.integers(-(2**63), 2**64 - 1)
VALUES = st.recursive(
    SCALARS | INTEGERS | st.sampled_from(["1" * 25, '"-99999999999999999999', "\\" + "7" * 20 + '"']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=25), inner, max_size=4),
    max_leaves=12,
)


ALONE = [decode for decode in Decode if decode not in BINARY]  # they need no schema


@pytest.mark.parametrize("decode", ALONE)
def test_a_tombstone_is_no_value_whatever_the_codec(decode: Decode) -> None:
    """None is a tombstone, never undecodable."""
    assert decoded(DecodingSettings(decode=decode), message(None)) is None


def test_json_is_the_default() -> None:
    """A source that says nothing reads JSON."""
    body = b'{"a": [1, 2.5, null, "x"]}'
    assert decoded(DecodingSettings(), message(body)) == {"a": [1, 2.5, None, "x"]}


def test_text_is_utf_8() -> None:
    """The text codec gives the characters, also of an empty body."""
    assert decode_text("grüße".encode()) == "grüße"
    assert decode_text(b"") == ""


def test_raw_is_the_bytes() -> None:
    """The raw codec looks at nothing."""
    assert decode_raw(b"\xff\x00") == b"\xff\x00"


@given(VALUES)
def test_what_json_says_is_what_the_rules_see(value: object) -> None:
    """Any JSON value comes through equal and of the same types, whatever digits stand in its strings."""
    decoded = decode_json(json.dumps(value).encode())
    assert repr(decoded) == repr(value)


@given(st.integers(-(10**40), 10**40) | st.integers(2**63 - 3, 2**64 + 3) | st.integers(-(2**63) - 3, -(2**63) + 3))
def test_no_integer_is_ever_rounded(number: int) -> None:
    """An integer is exact or the body is refused, wherever it stands."""
    for text in (f"{number}", f'{{"a":[1,{number}]}}', f'[ {number}\n,"x"]', f'{{"{number}":{number} }}'):
        if -(2**63) <= number <= 2**64 - 1:
            decoded = decode_json(text.encode())
            assert decoded == json.loads(text)
            assert "." not in repr(decoded)
        else:
            with pytest.raises(Undecodable, match="beyond 64 bits"):
                decode_json(text.encode())


@given(VALUES, st.integers(2**64, 10**300), st.booleans())
def test_one_big_integer_anywhere_refuses_the_body(value: object, number: int, negative: bool) -> None:  # noqa: FBT001  hypothesis gives it
    """The size of the rest does not hide it."""
    body = json.dumps([value, {"n": -number if negative else number}, value]).encode()
    with pytest.raises(Undecodable, match="beyond 64 bits"):
        decode_json(body)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", 2**63),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("12345678901234567890.5", 12345678901234567890.5),
        ("0.12345678901234567890123", 0.12345678901234567890123),
        ("1e0000000000000000000001", 10.0),
        ("12345678901234567890123e-3", 12345678901234567890123e-3),
        ('"99999999999999999999"', "99999999999999999999"),
        (r'"\"99999999999999999999"', '"99999999999999999999'),
        (r'["\\",99999999999,"-99999999999999999999"]', ["\\", 99999999999, "-99999999999999999999"]),
    ],
)
def test_long_digits_that_are_no_big_integer_pass(text: str, expected: object) -> None:
    """Only an integer can be out of range: decimals are doubles, strings are text."""
    decoded = decode_json(text.encode())
    assert decoded == expected
    assert type(decoded) is type(expected)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"secret-token",
        b'{"password": "hunter2"',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e400",
        b"9" * 400,
        b"01",
        b"{'a': 1}",
        b'"\xff"',
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        b'{"hunter2": 18446744073709551616}',
        b"-9223372036854775809",
    ],
)
def test_what_is_not_json_is_undecodable_and_the_reason_quotes_nothing(body: bytes) -> None:
    """The reason goes into logs and dead letters, so it names a place, not the content."""
    with pytest.raises(Undecodable) as caught:
        decode_json(body)
    assert not any(word in str(caught.value) for word in ("hunter2", "secret", "password"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_text_that_is_not_utf_8_is_undecodable() -> None:
    """The reason says where."""
    with pytest.raises(Undecodable, match=r"not UTF-8: invalid start byte at byte 3"):
        decode_text(b"abc\xff")


def test_the_last_of_two_equal_keys_wins() -> None:
    """As in nearly every reader of JSON; the original text is passed on unchanged by a whole ``${body}`` anyway."""
    assert decode_json(b'{"a": 1, "a": 2}') == {"a": 2}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_undecodable(body: bytes) -> None:
    """No codec raises anything else."""
    for decode in ALONE:
        found = decoder(DecodingSettings(decode=decode)).decode([message(body)])
        assert (len(found.values), len(found.messages)) == (1, 1)
        assert decode is not Decode.RAW or (found.values, found.failed) == ([body], {})


def test_a_message_that_cannot_be_decoded_stops_no_other() -> None:
    """Each value is in the place of its message; the reason of one that failed is named by its place."""
    bodies = (b"1", b"{", b'"x"', None, b"NaN", b"[]")
    found = decoder(DecodingSettings()).decode([message(body) for body in bodies])
    assert found.values == [1, None, "x", None, None, []]
    assert {place: why.partition(":")[0] for place, why in found.failed.items()} == {1: "not JSON", 4: "not JSON"}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_keeps_every_bit(number: float) -> None:
    """Decimals are read to the nearest double and written back the same."""
    decoded = decode_json(orjson.dumps(number))
    assert isinstance(decoded, float)
    assert struct.pack("d", decoded) == struct.pack("d", number)
