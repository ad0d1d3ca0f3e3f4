"""No body takes the bridge down: not by its depth, not by the sizes that it claims, not by what it makes of little."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.struct_pb2 import DESCRIPTOR as STRUCT
from hypothesis import given
from hypothesis import strategies as st

from bridge.decoding.avro import compile_avro
from bridge.decoding.protobuf import compile_file, compile_protobuf
from bridge.errors import Undecodable
from tests.decoding.hostile import FILE, NODE
from tests.decoding.messages import event, message
from tests.decoding.schemas import avro, descriptor_set, text

MAX_BYTES = 384 * 1024 * 1024
MAX_SECONDS = 20  # of CPU, on a slow machine; most take a few hundredths


@pytest.mark.slow
def test_a_hostile_mebibyte_is_a_value_or_undecodable_within_bounds() -> None:
    """Each in a process of its own: nothing but Undecodable is raised, and time and memory stay small."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.decoding.hostile"], capture_output=True, check=True, timeout=600
    )
    found: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) > 60
    assert [case for case in found if case["outcome"] not in {"value", "undecodable"}] == []
    assert [case for case in found if case["bytes"] > MAX_BYTES or case["seconds"] > MAX_SECONDS] == []


LEAVES = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "bytes", "string"])
LOGICAL = st.sampled_from([
    {"type": "long", "logicalType": "timestamp-micros"}, {"type": "int", "logicalType": "date"},
    {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    {"type": "long", "logicalType": "time-micros"}, {"type": "long", "logicalType": "local-timestamp-millis"},
])  # fmt: skip
SCHEMAS = st.recursive(
    LEAVES | LOGICAL,
    lambda inner: (
        st.builds(lambda items: {"type": "array", "items": items}, inner)
        | st.builds(lambda values: {"type": "map", "values": values}, inner)
        | st.builds(lambda other: ["null", {"type": "array", "items": other}], inner)
    ),
    max_leaves=4,
)
BYTES = st.binary(max_size=40) | st.lists(
    st.sampled_from([b"\0", b"\x01", b"\x02", b"\x04", b"\x80", b"\xff", b"\x7f", b"a"]), max_size=30
).map(b"".join)


@given(SCHEMAS, BYTES)
def test_any_bytes_with_any_schema_of_avro(schema: Any, data: bytes) -> None:
    """A value, or undecodable."""
    with suppress(Undecodable):
        compile_avro(text(schema))(data)


@given(BYTES)
def test_any_bytes_with_a_type_of_avro_that_contains_itself(data: bytes) -> None:
    """A value, or undecodable."""
    with suppress(Undecodable):
        READ_NODE(data)


READ_NODE = compile_avro(text(NODE))
PLAIN = {"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "array", "items": "long"}}]}
READ_PLAIN = compile_avro(text(PLAIN))


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_avro_integers_come_through_exactly(numbers: list[int]) -> None:
    """All of 64 bits."""
    assert READ_PLAIN(avro(PLAIN, {"a": numbers})) == {"a": numbers}


READ_MESSAGE = compile_file(descriptor_set(FILE), "h.M")
READ_FRAMED = compile_protobuf(b64encode(FILE.SerializeToString()).decode())


@given(BYTES)
def test_any_bytes_as_a_message_of_protobuf(data: bytes) -> None:
    """A value, or undecodable; with and without the path to the type."""
    for read in (READ_MESSAGE, READ_FRAMED, READ_STRUCT):
        with suppress(Undecodable):
            read(data)


READ_STRUCT = compile_file(
    descriptor_set(FileDescriptorProto.FromString(STRUCT.serialized_pb)), "google.protobuf.Struct"
)
HEADER_NAMES = st.sampled_from(
    ["content-type", "Content-Type", "ce_id", "ce_specversion", "ce_type", "ce_source", "ce_time"]
)
HEADER_VALUES = st.sampled_from(
    [b"1.0", b"application/cloudevents+json", b"application/json", b"\xff", b""]
) | st.binary(max_size=8)


@given(st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=7), st.none() | st.binary(max_size=30))
def test_any_message_as_a_cloudevent(headers: list[tuple[str, bytes]], body: bytes | None) -> None:
    """An event, a tombstone, or undecodable."""
    with suppress(Undecodable):
        event(message(body, *headers))
