"""Cutting deliveries out of an AMQP byte stream, without a broker."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import pamqp.frame
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from bridge.sources.rabbitmq_frames import Delivery, DeliveryReader
from bridge.sources.rabbitmq_properties import header_value, message_of, properties

CHANNEL = 3
OTHERS = [
    pamqp.frame.marshal(Heartbeat(), 0),
    pamqp.frame.marshal(commands.Basic.ConsumeOk("tag"), CHANNEL),
    pamqp.frame.marshal(commands.Basic.Deliver("tag", 1, False, "", "q"), CHANNEL + 1),  # noqa: FBT003  positional
    pamqp.frame.marshal(ContentHeader(0, 1, commands.Basic.Properties()), CHANNEL + 1),
    pamqp.frame.marshal(ContentBody(b"x"), CHANNEL + 1),
]


def frames(tag: int, body: bytes, piece: int, **values: object) -> bytes:
    """A delivery as a broker sends it, the body in frames of at most ``piece`` bytes."""
    if "type" in values:
        values["message_type"] = values.pop("type")
    parts: list[Any] = [
        commands.Basic.Deliver("ctag", tag, redelivered=bool(tag % 2), exchange="shop", routing_key="a.b"),
        ContentHeader(0, len(body), commands.Basic.Properties(**values)),  # type: ignore[arg-type]
        *(ContentBody(body[at : at + piece]) for at in range(0, len(body), piece)),
    ]
    return b"".join(pamqp.frame.marshal(part, CHANNEL) for part in parts)


@given(
    contents=st.lists(st.binary(max_size=300) | st.sampled_from(range(len(OTHERS))), max_size=8),
    piece=st.integers(min_value=1, max_value=100),
    cuts=st.lists(st.integers(min_value=1, max_value=50), min_size=1),
    most=st.integers(min_value=0, max_value=300),
)
async def test_however_the_bytes_arrive(contents: list[bytes | int], piece: int, cuts: list[int], most: int) -> None:
    """Deliveries come out in order, everything else goes on unchanged, wherever the stream is cut.

    They are whole, but for those that are too large: of them one byte more than may be is kept, and their size.
    """
    stream, expected, others, large = b"", [], b"", dict[int, int]()
    for tag, content in enumerate(contents):
        if isinstance(content, int):
            stream += OTHERS[content]
            others += OTHERS[content]
        else:
            stream += frames(tag, content, piece, message_id=f"m-{tag}")
            expected.append((tag, bool(tag % 2), b"ctag", b"shop", b"a.b", content[: most + 1]))
            if len(content) > most:
                large[tag] = len(content)
    arrivals = []
    reader = DeliveryReader(lambda: arrivals.append(1), most)
    reader.channel = CHANNEL
    reader._heartbeat_at = float("inf")  # no heartbeats of our own among the others
    at, turn = 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        reader.feed_data(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert [(*one[:5], one.body) for one in reader.arrived] == expected
    assert reader.oversized == large
    assert bytes(reader._buffer) == others  # type: ignore[attr-defined]
    assert bool(arrivals) == bool(expected)


async def test_arrivals_count_as_signs_of_life() -> None:
    """The client, which no longer sees deliveries, is fed a heartbeat with them, at most one per second."""
    reader = DeliveryReader(lambda: None, 1000)
    reader.channel = CHANNEL
    for tag in range(5):
        reader.feed_data(frames(tag, b"x", 10))
    assert bytes(reader._buffer) == OTHERS[0]  # type: ignore[attr-defined]


PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "content_type": st.text(max_size=20),
        "content_encoding": st.just("gzip"),
        "delivery_mode": st.sampled_from([1, 2]),
        "priority": st.integers(min_value=0, max_value=255),
        "correlation_id": st.text(max_size=20),
        "reply_to": st.text(max_size=20),
        "expiration": st.just("1000"),
        "message_id": st.text(max_size=20),
        "type": st.text(max_size=20),
        "user_id": st.just("guest"),
        "app_id": st.just("shop"),
        "headers": st.dictionaries(st.text(max_size=10), st.integers(-100, 100) | st.text(max_size=10), min_size=1),
    },
)


@given(PROPERTIES)
async def test_properties_are_read_as_they_were_written(values: dict[str, object]) -> None:
    """Any set of properties comes out of the header as the reference encoder put it in."""
    written = {name: value for name, value in values.items() if value != ""}
    reader = DeliveryReader(lambda: None, 1000)
    reader.channel = CHANNEL
    reader.feed_data(frames(1, b"x", 10, **written))
    (delivery,) = reader.arrived
    assert properties(delivery.flags, delivery.properties) == written


def delivery(flags: int = 0, data: bytes = b"", body: bytes = b"x") -> Delivery:
    return Delivery(7, False, b"ctag", b"shop", b"a.b", flags, data, body)  # noqa: FBT003  a record of the stream


def test_headers_keep_the_order_of_the_wire() -> None:
    """Not the alphabet's: publishers in other languages write tables as they please."""
    fields = b"".join(struct.pack(">B", len(name)) + name + b"I" + struct.pack(">i", 1) for name in (b"z", b"a", b"m"))
    message = message_of("s", "q", delivery(1 << 13, struct.pack(">I", len(fields)) + fields), 1, body_hash=False)
    assert [name for name, _ in message.headers] == ["z", "a", "m"]


def test_identity() -> None:
    """A message id is the identity; without one there is none, unless the body's hash is to be one."""
    named = delivery(1 << 7, b"\x03m-1")
    assert message_of("s", "q", named, 1, body_hash=True)[1] == "m-1"
    nameless = message_of("s", "q", delivery(), 4, body_hash=False)
    assert (nameless.id, nameless.has_identity) == ("q/4-7", False)
    hashed = [message_of("s", "q", delivery(body=body), 4, body_hash=True) for body in (b"x", b"x", b"y")]
    assert hashed[0].has_identity
    assert hashed[0].id == hashed[1].id != hashed[2].id


def test_times_in_seconds_and_in_milliseconds() -> None:
    """The specification says seconds; publishers that write milliseconds are understood."""
    seconds = message_of("s", "q", delivery(1 << 6, struct.pack(">Q", 1_800_000_000)), 1, body_hash=False)
    milliseconds = message_of("s", "q", delivery(1 << 6, struct.pack(">Q", 1_800_000_000_123)), 1, body_hash=False)
    assert (seconds.timestamp_ms, milliseconds.timestamp_ms) == (1_800_000_000_000, 1_800_000_000_123)


def test_values_of_tables() -> None:
    """Every type of AMQP becomes a value that a rule can read."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert header_value(bytearray(b"\xff")) == b"\xff"
    assert header_value(moment) == "2026-01-02T03:04:05+00:00"
    assert header_value([{"count": 1, "queue": "q"}]) == '[{"count":1,"queue":"q"}]'


def test_a_malformed_table_does_not_stop_the_queue() -> None:
    """The message comes without its properties; the body is what it was."""
    message = message_of("s", "q", delivery(1 << 13, struct.pack(">I", 99) + b"\x01"), 1, body_hash=False)
    assert (message.body, message.headers, message.has_identity) == (b"x", (), False)
