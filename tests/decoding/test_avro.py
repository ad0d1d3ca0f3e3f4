"""Avro from schema files, and the value model."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.decoding import DecodingSettings
from bridge.decoding.avro import compile_avro, parse_avro
from bridge.decoding.avro_bounds import ALWAYS, density
from bridge.errors import ConfigError, Undecodable
from bridge.routing.jsontext import encode
from bridge.routing.times import parse_timestamp
from tests.decoding.messages import decoded, message
from tests.decoding.schemas import MONEY, ORDER, avro, text

if TYPE_CHECKING:
    from pathlib import Path


def read(schema: Any, data: bytes) -> object:
    return compile_avro(text(schema))(data)


def test_a_schema_file_serves_all_bodies(tmp_path: Path) -> None:
    """Bodies are the bare data, without an id."""
    file = tmp_path / "order.avsc"
    file.write_text(text({**ORDER, "fields": [*ORDER["fields"][:2], {"name": "total", "type": MONEY}]}))
    settings = DecodingSettings.model_validate({"decode": "avro", "schema_file": str(file)})
    data = avro({**MONEY, "fields": [{"name": "amount", "type": "bytes"}]}, {"amount": b"\x04\xe2"})
    assert decoded(settings, message(b"\x22\x00" + data)) == {"id": 17, "note": None, "total": {"amount": "12.50"}}
    assert decoded(settings, message(None)) is None


@pytest.mark.parametrize("content", ["", "{", '{"type": "recod"}', '{"type": "fixed", "name": "A"}', '"shop.Unknown"'])
def test_a_file_that_is_no_schema_is_a_problem_of_the_configuration(tmp_path: Path, content: str) -> None:
    """The problem names the setting and the file."""
    file = tmp_path / "order.avsc"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        decoded(DecodingSettings.model_validate({"decode": "avro", "schema_file": str(file)}), message(b""))
    (problem,) = caught.value.problems
    assert (problem.path, problem.message.startswith(f"{file}: not an Avro schema: ")) == ("schema_file", True)


FIXED = {"type": "fixed", "name": "F", "size": 2}


@pytest.mark.parametrize(
    ("schema", "data", "expected", "json"),
    [
        ("null", b"", None, b"null"),
        ("boolean", b"\x01", True, b"true"),
        ("int", b"\x01", -1, b"-1"),
        ("long", b"\xfe" + b"\xff" * 8 + b"\x01", 2**63 - 1, b"9223372036854775807"),
        ("long", b"\xff" * 9 + b"\x01", -(2**63), b"-9223372036854775808"),
        ("double", struct.pack("<d", 12.5), 12.5, b"12.5"),
        ("float", struct.pack("<f", 0.5), 0.5, b"0.5"),
        ("string", "\x04ä".encode(), "ä", '"ä"'.encode()),
        ("bytes", b"\x04\x00\xff", b"\x00\xff", b'"AP8="'),
        (FIXED, b"\x00\xff", b"\x00\xff", b'"AP8="'),
        ({"type": "enum", "name": "E", "symbols": ["NEW", "PAID"]}, b"\x02", "PAID", b'"PAID"'),
        ({"type": "array", "items": "int"}, b"\x04\x02\x04\x00", [1, 2], b"[1,2]"),
        ({"type": "map", "values": "int"}, b"\x02\x02a\x02\x00", {"a": 1}, b'{"a":1}'),
        (["null", "string", "long"], b"\x04\x02", 1, b"1"),
        (["null", "string"], b"\x00", None, b"null"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}, b"\x02", {"a": 1}, b'{"a":1}'),
    ],
    ids=str,
)
def test_values(schema: Any, data: bytes, expected: object, json: bytes) -> None:
    """Each type is a value of the rules, and what is written as JSON."""
    value = read(schema, data)
    assert (value, type(value)) == (expected, type(expected))
    assert encode(value) == json


def logical(kind: Any, name: str, **more: object) -> dict[str, Any]:
    return {**(kind if isinstance(kind, dict) else {"type": kind}), "logicalType": name, **more}


def zigzag(number: int) -> bytes:
    return avro("long", number)


MOMENT = 1_767_225_600_123  # 2026-01-01T00:00:00.123Z


@pytest.mark.parametrize(
    ("schema", "data", "expected"),
    [
        (logical("bytes", "decimal", precision=9, scale=2), b"\x04\x04\xe2", "12.50"),
        (logical("bytes", "decimal", precision=9, scale=2), b"\x02\xff", "-0.01"),
        (logical("bytes", "decimal", precision=9), b"\x02\x11", "17"),
        (logical("bytes", "decimal", precision=4, scale=4), b"\x02\x00", "0.0000"),
        (logical(FIXED, "decimal", precision=4, scale=1), b"\x00\x7d", "12.5"),
        (logical("int", "date"), zigzag(20_484), "2026-01-31"),
        (logical("int", "date"), zigzag(-1), "1969-12-31"),
        (logical("int", "time-millis"), zigzag(34_200_500), "09:30:00.5"),
        (logical("long", "time-micros"), zigzag(1), "00:00:00.000001"),
        (logical("long", "local-timestamp-millis"), zigzag(MOMENT), "2026-01-01T00:00:00.123"),
        (logical("long", "local-timestamp-micros"), zigzag(MOMENT * 1000 + 1), "2026-01-01T00:00:00.123001"),
        (logical("string", "uuid"), b"\x06abc", "abc"),
        (
            logical({"type": "fixed", "name": "U", "size": 16}, "uuid"),
            bytes(range(16)),
            "00010203-0405-0607-0809-0a0b0c0d0e0f",
        ),
        (
            logical({"type": "fixed", "name": "D", "size": 12}, "duration"),
            struct.pack("<III", 1, 2, 3),
            {"months": 1, "days": 2, "milliseconds": 3},
        ),
        (logical("long", "of-the-future"), zigzag(5), 5),
        (logical("string", "date"), b"\x02a", "a"),
        (["null", logical("bytes", "decimal", precision=4, scale=1)], b"\x02\x02\x7d", "12.5"),
    ],
    ids=str,
)
def test_logical_types(schema: Any, data: bytes, expected: object) -> None:
    """Decimals, days and times are text with every digit; an unknown logical type is its underlying one."""
    assert read(schema, data) == expected


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("timestamp-millis", MOMENT, "2026-01-01T00:00:00.123Z"),
        ("timestamp-micros", MOMENT * 1000 + 1, "2026-01-01T00:00:00.123001Z"),
        ("timestamp-nanos", MOMENT * 10**6 + 1, "2026-01-01T00:00:00.123000001Z"),
        ("timestamp-millis", -1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_instants_are_timestamps(name: str, number: int, expected: str) -> None:
    """To the nanosecond."""
    assert read(logical("long", name), zigzag(number)) == parse_timestamp(expected)


@given(st.integers(-(10**60), 10**60), st.integers(0, 70))
def test_no_decimal_is_ever_rounded(unscaled: int, scale: int) -> None:
    """The text is the number, whatever its size."""
    data = unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)
    found = read(logical("bytes", "decimal", precision=99, scale=scale), zigzag(len(data)) + data)
    assert isinstance(found, str)
    whole, _, fraction = found.partition(".")
    assert len(fraction) == scale
    assert int(whole + fraction) == unscaled


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (logical("long", "timestamp-millis"), zigzag(2**62)),
        (logical("int", "date"), zigzag(2**31)),
        (logical("int", "time-millis"), zigzag(-1)),
        (logical("int", "time-millis"), zigzag(86_400_000)),
        (logical("bytes", "decimal", precision=9, scale=2), zigzag(1000) + b"\x7f" * 1000),
        (logical("bytes", "decimal", precision=9, scale="x"), b"\x02\x7f"),
        ("string", b"\x02\xff"),
        ("string", b"\x04a"),
        ("string", b"\x01"),
        ("long", b"\xff"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x02"),
        (["null", "string"], b"\x08"),
        ("int", b""),
        ("int", b"\x02\x02"),
    ],
    ids=str,
)
def test_what_the_schema_does_not_say_is_undecodable(schema: Any, data: bytes) -> None:
    """Data that is cut off, has bytes left over or is out of range."""
    with pytest.raises(Undecodable):
        read(schema, data)


NODE = {"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}


def nodes(count: int) -> bytes:
    return b"\x02" * count + b"\x00"


@pytest.mark.parametrize("schema", ["[]", '{"type": "record", "name": "a", "fields": [{"name": "x", "type": []}]}'])
def test_a_union_without_branches_is_no_schema(schema: str) -> None:
    """Nothing could be written with it; a registry that has it must not end the bridge."""
    with pytest.raises(Undecodable, match="not an Avro schema"):
        compile_avro(schema)


def test_a_type_may_contain_itself_up_to_a_depth() -> None:
    """Deeper data would end the process in the library."""
    value: Any = read(NODE, nodes(30))
    for _ in range(31):
        value = value["next"]
    assert value is None
    with pytest.raises(Undecodable, match="levels deep"):
        read(NODE, nodes(200))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ("string", 1),
        ({"type": "array", "items": "int"}, 1),
        ({"type": "array", "items": "double"}, 1),
        ({"type": "map", "values": "int"}, 1),
        ({"type": "map", "values": "null"}, 2),
        ({"type": "array", "items": {"type": "array", "items": "int"}}, 1),
        ({"type": "array", "items": "null"}, ALWAYS),
        ({"type": "array", "items": {"type": "fixed", "name": "Z", "size": 0}}, ALWAYS),
        ({"type": "array", "items": {"type": "record", "name": "Z", "fields": []}}, ALWAYS),
        ({"type": "array", "items": ["null", "string"]}, 1),
        ({"type": "record", "name": "R", "fields": [{"name": n, "type": "int"} for n in "abc"]}, 1),
        (
            {"type": "array", "items": {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}},
            2,
        ),
        (NODE, ALWAYS),
        ({"type": "array", "items": NODE}, ALWAYS),
    ],
    ids=str,
)
def test_how_many_values_a_byte_can_make(schema: Any, expected: float) -> None:
    """Known from the schema; without a bound each body is walked before it is decoded."""
    assert density(*parse_avro(text(schema))) == expected
