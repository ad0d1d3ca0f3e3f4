"""Headers as other publishers write them: what cannot be read costs nothing but itself."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import aio_pika
import pamqp.encode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sources.rabbitmq import RabbitSource
from bridge.sources.rabbitmq_frames import Delivery
from bridge.sources.rabbitmq_properties import message_of
from bridge.sources.rabbitmq_tables import MAX_DEPTH, table
from tests.sources.subjects import collect, rabbit_settings

if TYPE_CHECKING:
    from bridge.message import Message
    from tests.services.rabbitmq import RabbitServer

HEADERS, MESSAGE_ID, TIMESTAMP = 1 << 13, 1 << 7, 1 << 6


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def sized(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def field(name: bytes, value: bytes) -> bytes:
    return short(name) + value


def moment(number: int) -> bytes:
    return b"T" + struct.pack(">Q", number)


def nested(depth: int) -> bytes:
    value = b"I" + struct.pack(">i", 1)
    for _ in range(depth):
        value = b"F" + sized(field(b"x", value))
    return value


def message(fields: bytes, timestamp: int = 1_800_000_000) -> Message:
    """One that has headers, a message id behind them, and a time."""
    data = sized(fields) + short(b"order-7") + struct.pack(">Q", timestamp)
    flags = HEADERS | MESSAGE_ID | TIMESTAMP
    delivery = Delivery(7, False, b"ctag", b"shop", b"a.b", flags, data, b"x")  # noqa: FBT003  a record of the stream
    return message_of("s", "q", delivery, 1, body_hash=False)


ONE = field(b"one", b"I" + struct.pack(">i", 1))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (field(b"at", moment(1_700_000_000)), [("at", "2023-11-14T22:13:20+00:00")]),
        (field(b"at", moment(1_700_000_000_000)), [("at", "2023-11-14T22:13:20+00:00")]),
        (field(b"at", moment(1_700_000_000_000_000)), [("at", 1_700_000_000_000_000)]),
        (field(b"at", moment(2**64 - 1)), [("at", 2**64 - 1)]),
        (field(b"text", b"S" + sized(b"\xff\xfe")), [("text", b"\xff\xfe")]),
        (field(b"\xff", b"t\x01"), [("\\xff", True)]),
        (field(b"list", b"A" + sized(b"?")), [("list", "[]")]),
    ],
)
def test_a_value_that_makes_no_sense_stands_for_itself(fields: bytes, expected: list[tuple[str, object]]) -> None:
    """It is there as it came, its neighbours are there, and the message keeps its identity and its time."""
    found = message(ONE + fields + field(b"last", b"V"))
    assert list(found.headers) == [("one", 1), *expected, ("last", None)]
    assert (found.id, found.has_identity, found.timestamp_ms) == ("order-7", True, 1_800_000_000_000)


@pytest.mark.parametrize(
    "broken",
    [
        field(b"x", b"?"),
        field(b"x", b"I\x00"),
        field(b"x", b"S" + struct.pack(">I", 2**32 - 7) + b"abc"),
        field(b"x", b"S" + struct.pack(">I", 1000) + b"abc"),
        field(b"x", b""),
        b"\xffx",
    ],
)
def test_what_has_no_readable_size_ends_the_table_alone(broken: bytes) -> None:
    """The headers before it and all other properties are there."""
    found = message(ONE + broken)
    assert list(found.headers) == [("one", 1)]
    assert (found.id, found.has_identity, found.timestamp_ms) == ("order-7", True, 1_800_000_000_000)


@pytest.mark.parametrize("depth", [1, MAX_DEPTH - 1, MAX_DEPTH, 300, 5000])
def test_nesting_of_any_depth_is_text(depth: int) -> None:
    """Down to a limit as JSON, below it as the bytes that stood there."""
    found = message(ONE + field(b"deep", nested(depth)))
    (one, (name, text)) = found.headers
    assert (one, name, found.id) == (("one", 1), "deep", "order-7")
    assert isinstance(text, str)
    assert text.count('{"x":') == min(depth, MAX_DEPTH)
    assert text.endswith("1" + "}" * depth) == (depth <= MAX_DEPTH)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0, 0),
        (99_999_999_999, 99_999_999_999_000),
        (100_000_000_000, 100_000_000_000),
        (253_402_300_799_999, 253_402_300_799_999),
        (253_402_300_800_000, None),
        (1_800_000_000_000_000, None),
        (2**63, None),
        (2**64 - 1, None),
    ],
)
def test_a_time_past_the_year_9999_is_none(written: int, expected: int | None) -> None:
    """Whoever stores or compares times never meets one that is none."""
    assert message(ONE, written).timestamp_ms == expected


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, width=32)
    | st.text(max_size=10)
    | st.binary(max_size=10).map(bytearray)
    | st.datetimes(datetime(2001, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001  bounds
        lambda at: at.replace(microsecond=0)
    )
    | st.integers(0, 10**6).map(lambda digits: Decimal(digits).scaleb(-2)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=10), VALUES, max_size=5), st.binary(max_size=5))
def test_tables_are_read_as_they_were_written(values: dict[str, object], rest: bytes) -> None:
    """Every type that the reference encoder writes comes out as it went in, and reading ends with the table."""
    data = pamqp.encode.field_table(values)  # type: ignore[arg-type]  # of its types
    assert table(data + rest, 0) == (values, len(data))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(fields: bytes) -> None:
    """Whatever stands in the table, the message comes, with its identity."""
    assert message(ONE + fields).id == "order-7"


@pytest.mark.rabbitmq
async def test_the_broker_lets_such_headers_through(rabbitmq: RabbitServer) -> None:
    """A real broker hands on times in microseconds and deep tables; both messages come, and the one after them."""
    deep: dict[str, object] = {"x": 1}
    for _ in range(300):
        deep = {"x": deep}
    queue = await rabbitmq.queue()
    async with rabbitmq.channel() as channel:
        for number, headers in enumerate(({"deep": deep}, {"plain": 1})):
            content = aio_pika.Message(b"x", message_id=f"m-{number}", headers=headers)  # type: ignore[arg-type]
            await channel.default_exchange.publish(content, queue)
    source = RabbitSource("orders", rabbit_settings(rabbitmq, queue))
    await source.open()
    first, second = await collect(source, 2)
    await source.close()
    assert [name for name, _ in first.headers] == ["deep"]
    assert (first.id, second.id, list(second.headers)) == ("m-0", "m-1", [("plain", 1)])
