"""Protocol Buffers from descriptor sets, and the value model."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from bridge.decoding import DecodingSettings
from bridge.decoding.protobuf import compile_file, compile_protobuf
from bridge.errors import ConfigError, Undecodable
from bridge.routing.jsontext import encode
from bridge.routing.times import parse_duration, parse_timestamp
from tests.decoding.messages import decoded, message
from tests.decoding.schemas import (
    CUSTOMER_FILE,
    ORDER_FILE,
    descriptor,
    descriptor_set,
    message_class,
)

if TYPE_CHECKING:
    from pathlib import Path

WELL_KNOWN = ("any", "duration", "struct", "timestamp", "wrappers")
IMPORTS = " ".join(f'dependency: "google/protobuf/{name}.proto"' for name in WELL_KNOWN)


def field(name: str, number: int, kind: str, label: str = "OPTIONAL", *, more: str = "") -> str:
    """One field; a kind with a dot is a message type, or with ! an enum."""
    typed = f"type: TYPE_{kind}"
    if kind.startswith("."):
        typed = f'type: TYPE_MESSAGE type_name: "{kind}"'
    elif kind.startswith("!"):
        typed = f'type: TYPE_ENUM type_name: "{kind[1:]}"'
    return f'field {{ name: "{name}" number: {number} {typed} label: LABEL_{label} {more} }}'


KINDS = (
    *("DOUBLE", "FLOAT", "INT64", "UINT64", "INT32", "FIXED64", "FIXED32", "BOOL", "STRING", "BYTES"),
    *("UINT32", "SFIXED32", "SFIXED64", "SINT32", "SINT64"),
)
G = ".google.protobuf."
ALL = descriptor(f"""
name: "all.proto" package: "t" syntax: "proto3" {IMPORTS}
enum_type {{ name: "State" value {{ name: "NEW" number: 0 }} value {{ name: "PAID" number: 1 }} }}
message_type {{ name: "Scalars" {" ".join(field(kind.lower(), place + 1, kind) for place, kind in enumerate(KINDS))} }}
message_type {{
  name: "Shapes"
  {field("state", 1, "!.t.State")} {field("states", 2, "!.t.State", "REPEATED")}
  {field("maybe", 3, "INT32", more="proto3_optional: true oneof_index: 1")}
  {field("inner", 4, ".t.Shapes")} {field("inners", 5, ".t.Shapes", "REPEATED")}
  {field("first", 6, "STRING", more="oneof_index: 0")} {field("second", 7, "INT64", more="oneof_index: 0")}
  {field("by_number", 8, ".t.Shapes.ByNumberEntry", "REPEATED")}
  {field("snake_case", 9, "STRING", more='json_name: "other"')}
  oneof_decl {{ name: "one" }} oneof_decl {{ name: "_maybe" }}
  nested_type {{
    name: "ByNumberEntry" options {{ map_entry: true }}
    {field("key", 1, "INT64")} {field("value", 2, ".t.Shapes")}
  }}
}}
message_type {{
  name: "Known"
  {field("at", 1, G + "Timestamp")} {field("span", 2, G + "Duration")} {field("any", 3, G + "Any")}
  {field("free", 4, G + "Struct")} {field("value", 5, G + "Value")} {field("list", 6, G + "ListValue")}
  {field("big", 7, G + "UInt64Value")} {field("words", 8, G + "StringValue")}
}}
""")
OLD = descriptor(f"""
name: "old.proto" package: "o" syntax: "proto2"
message_type {{
  name: "Old"
  {field("needed", 1, "INT32", "REQUIRED")} {field("count", 2, "INT32", more='default_value: "5"')}
  {field("group", 3, "INT32").replace("TYPE_INT32", 'TYPE_GROUP type_name: ".o.Old.Group"')}
  nested_type {{ name: "Group" {field("n", 1, "INT32")} }}
}}
""")
EMPTY_SHAPES = {"state": "NEW", "states": [], "inners": [], "by_number": {}, "snake_case": ""}


def files() -> bytes:
    return descriptor_set(ALL, OLD, CUSTOMER_FILE, ORDER_FILE)


def make(name: str, **values: Any) -> bytes:
    modules = (any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
    known = [FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb) for module in modules]
    data: bytes = message_class(name, *known, ALL, OLD)(**values).SerializeToString()
    return data


def read(name: str, data: bytes) -> Any:
    return compile_file(files(), name)(data)


def test_a_descriptor_set_serves_all_bodies(tmp_path: Path) -> None:
    """Bodies are the bare message, without an id."""
    file = tmp_path / "all.binpb"
    file.write_bytes(files())
    settings = {"decode": "protobuf", "schema_file": str(file), "message": "shop.Order"}
    data = b"\x08\x11\x12\x05\x0a\x03Ada"
    expected = {"order_id": 17, "customer": {"full_name": "Ada"}, "tags": {}}
    assert decoded(DecodingSettings.model_validate(settings), message(data)) == expected
    assert decoded(DecodingSettings.model_validate(settings), message(None)) is None


@pytest.mark.parametrize(
    ("content", "name", "why"),
    [
        (b'syntax = "proto3";', "shop.Order", "is no Protobuf descriptor set"),
        (b"", "shop.Order", "is no Protobuf descriptor set"),
        (descriptor_set(ORDER_FILE), "shop.Order", "imports shop/customer.proto, which is not there"),
        (descriptor_set(CUSTOMER_FILE, ORDER_FILE), "shop.Orders", "has no message type shop.Orders"),
    ],
)
def test_a_file_that_will_not_do_is_a_problem_of_the_configuration(
    tmp_path: Path, content: bytes, name: str, why: str
) -> None:
    """The problem says how to make one."""
    file = tmp_path / "all.binpb"
    file.write_bytes(content)
    settings = {"decode": "protobuf", "schema_file": str(file), "message": name}
    with pytest.raises(ConfigError, match=why):
        decoded(DecodingSettings.model_validate(settings), message(b""))


def test_scalars_are_always_there() -> None:
    """A scalar without presence has its default when it is not sent, so that rules need not ask."""
    assert read("t.Scalars", b"") == {
        **{kind.lower(): 0 for kind in KINDS},
        "double": 0.0,
        "float": 0.0,
        "bool": False,
        "string": "",
        "bytes": b"",
    }


def test_integers_are_exact() -> None:
    """At the ends of their ranges."""
    values = {
        "int64": -(2**63),
        "uint64": 2**64 - 1,
        "fixed64": 2**64 - 1,
        "sfixed64": 2**63 - 1,
        "sint64": -(2**63),
        "int32": -(2**31),
        "uint32": 2**32 - 1,
        "bytes": b"\x00\xff",
        "double": 0.1,
        "string": "ä",
        "bool": True,
    }
    found = read("t.Scalars", make("t.Scalars", **values))
    assert {name: found[name] for name in values} == values
    assert b'"uint64":18446744073709551615' in encode(found)
    assert b'"bytes":"AP8="' in encode(found)


def test_what_has_presence_is_there_only_when_it_was_sent() -> None:
    """Messages, members of a oneof and proto3's ``optional``; lists and maps always are, if empty."""
    assert read("t.Shapes", b"") == EMPTY_SHAPES
    found = read("t.Shapes", make("t.Shapes", maybe=0, inner={}, second=5))
    assert found == {**EMPTY_SHAPES, "maybe": 0, "inner": EMPTY_SHAPES, "second": 5}


def test_enums_lists_and_maps() -> None:
    """Enums are names, numbers where the schema has no name; keys of maps keep their type; fields their .proto name."""
    inner = {**EMPTY_SHAPES, "state": "PAID"}
    data = make(
        "t.Shapes", state=7, states=[1, 0, 9], inners=[{"state": 1}], by_number={5: {"state": 1}}, snake_case="x"
    )
    found = read("t.Shapes", data)
    expected = {"state": 7, "states": ["PAID", "NEW", 9], "inners": [inner], "by_number": {5: inner}, "snake_case": "x"}
    assert found == expected
    assert b'"by_number":{"5":{' in encode(found)


def test_well_known_types() -> None:
    """Timestamps and durations are CEL's; a Struct is a map; a wrapper is its value, or null."""
    nested = {"a": [1.0, None, {"b": True}], "c": "x"}
    data = make(
        "t.Known",
        at={"seconds": 1_767_225_600, "nanos": 5},
        span={"seconds": -1, "nanos": -500_000_000},
        free=nested,
        value={"string_value": "x"},
        list={"values": [{"number_value": 1}]},
        big={"value": 2**64 - 1},
    )
    assert read("t.Known", data) == {
        "at": parse_timestamp("2026-01-01T00:00:00.000000005Z"),
        "span": parse_duration("-1.5s"),
        "free": nested,
        "value": "x",
        "list": [1.0],
        "big": 2**64 - 1,
        "words": None,
    }
    assert read("t.Known", b"") == {"big": None, "words": None}


def test_any_is_what_it_holds() -> None:
    """With ``@type``; where the schema does not have the type, its bytes."""

    def known(kind: str, value: bytes) -> Any:
        return read("t.Known", make("t.Known", any={"type_url": f"type.googleapis.com/{kind}", "value": value}))["any"]

    def url(kind: str) -> dict[str, str]:
        return {"@type": f"type.googleapis.com/{kind}"}

    assert known("o.Old", b"\x08\x07") == {**url("o.Old"), "needed": 7}
    assert known("x.Unknown", b"\x08\x07") == {**url("x.Unknown"), "value": b"\x08\x07"}
    stamp = timestamp_pb2.Timestamp(seconds=0).SerializeToString()
    assert known("google.protobuf.Timestamp", stamp) == {
        **url("google.protobuf.Timestamp"),
        "value": parse_timestamp("1970-01-01T00:00:00Z"),
    }
    with pytest.raises(Undecodable):
        known("o.Old", b"\x08")


def test_proto2() -> None:
    """Everything has presence; defaults of the file are not made up; a group is a message."""
    assert read("o.Old", b"\x08\x07") == {"needed": 7}
    assert read("o.Old", b"\x08\x07\x1b\x08\x01\x1c") == {"needed": 7, "group": {"n": 1}}


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",
        b"\x1b\x08\x01",
        b"\x0a\x7f",
        b"\x08" + b"\xff" * 20,
        b"\x00",
        b"\x12\x02\xff\xff",
        b"\x1b" * 1000,
    ],
)
def test_what_is_no_message_is_undecodable(data: bytes) -> None:
    """Cut off, without an end, with a field of number 0, with text that is no UTF-8."""
    with pytest.raises(Undecodable, match=r"not a shop\.Order|not a shop\.Customer"):
        read("shop.Order", data)


@pytest.mark.parametrize("seconds", [-(2**62), 253_402_300_800])
def test_times_out_of_range_are_undecodable(seconds: int) -> None:
    """What the rules have no value for is not rounded into one."""
    with pytest.raises(Undecodable):
        read("t.Known", make("t.Known", at={"seconds": seconds}))


@pytest.mark.parametrize(
    ("source", "data"),
    [
        (
            'message_type { name: "M" field { name: "HasField" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL } }',
            b"\x08\x05",
        ),
        ('package: "google.protobuf" message_type { name: "Timestamp" }', b""),
    ],
)
def test_a_schema_that_redefines_names_of_protobuf_stops_only_its_messages(source: str, data: bytes) -> None:
    """A field may be called like a method, and a type like a well-known one."""
    compiled = b64encode(descriptor(source).SerializeToString()).decode()
    with pytest.raises(Undecodable, match="another meaning"):
        compile_protobuf(compiled)(b"\0" + data)


def test_unknown_fields_are_ignored() -> None:
    """A writer may be newer than the schema."""
    assert read("shop.Customer", b"\x78\x05\x0a\x01a") == {"full_name": "a"}
