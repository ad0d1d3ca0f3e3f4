"""Bodies of a mebibyte made to hurt; as a program it decodes each in a process of its own and says what that took.

``python -m tests.decoding.hostile``: one line of JSON per case, with its name, how it ended ("value", "undecodable", or
what went wrong), CPU seconds, and the peak of memory in bytes above what the process had before.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.decoding.avro import compile_avro
from bridge.decoding.cloudevents import decode_event, member_text
from bridge.decoding.json import decode_json
from bridge.decoding.json_schema import compile_json
from bridge.decoding.protobuf import compile_file, compile_protobuf
from bridge.errors import Undecodable
from bridge.message import CloudEvent
from tests.decoding.messages import message
from tests.decoding.schemas import descriptor, descriptor_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE = 1 << 20
LONGEST_REASON = 300
NESTED = 40_000  # bytes: deep enough for anything, and building it takes quadratic time
SECONDS = 60  # of CPU, for one body; then the kernel ends it
MANY = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"  # 2^62 - 1, as Avro writes it
NODE = {
    "type": "record",
    "name": "N",
    "fields": [{"name": "a", "type": ["null", "N", {"type": "array", "items": "N"}]}],
}
WIDE = [{"name": f"f{n}", "type": ["null", "long"]} for n in range(30)]
RECORD = {"type": "array", "items": ["null", {"type": "record", "name": "W", "fields": WIDE}]}
LOOP = {"type": "record", "name": "L", "fields": [{"name": "l", "type": "L"}]}
HEAVY = {"type": "array", "items": {"type": "record", "name": "H", "fields": [{"name": "n", "type": "null"}] * 1}}
FIELDS = "".join(f'field {{ name: "f{n}" number: {n + 20} type: TYPE_INT64 label: LABEL_OPTIONAL }}' for n in range(30))
FILE = descriptor(f"""
name: "h.proto" package: "h" syntax: "proto3"
dependency: "google/protobuf/any.proto" dependency: "google/protobuf/struct.proto"
message_type {{
  name: "M" {FIELDS}
  field {{ name: "many" number: 1 type: TYPE_MESSAGE type_name: ".h.M" label: LABEL_REPEATED }}
  field {{ name: "any" number: 2 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL }}
  field {{ name: "free" number: 3 type: TYPE_MESSAGE type_name: ".google.protobuf.Struct" label: LABEL_OPTIONAL }}
  field {{ name: "bools" number: 4 type: TYPE_BOOL label: LABEL_REPEATED }}
  field {{ name: "text" number: 5 type: TYPE_STRING label: LABEL_REPEATED }}
}}
""")


def filled(piece: bytes, end: bytes = b"", start: bytes = b"") -> bytes:
    return start + piece * ((SIZE - len(start) - len(end)) // len(piece)) + end


def varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*parts, number))


def wrapped(*tags: bytes) -> bytes:
    """Fields of these tags within each other, over and over; the lengths say how much is inside."""
    inside = b""
    while len(inside) < NESTED:
        for tag in tags:
            inside = tag + varint(len(inside)) + inside
    return inside


def _sized(tag: bytes, inside: bytes) -> bytes:
    return tag + varint(len(inside)) + inside


def any_in_any() -> bytes:
    inside = b""
    url = b"x/h.M"
    while len(inside) < 5 * NESTED:
        packed = b"\x0a" + varint(len(url)) + url + b"\x12" + varint(len(inside)) + inside
        inside = b"\x12" + varint(len(packed)) + packed
    return inside


def event(body: bytes) -> object:
    one, value = decode_event(message(body, ("content-type", b"application/cloudevents+json")))
    assert isinstance(one, CloudEvent)
    assert one.text is None or member_text(body, b"data") == one.text
    return value


def cases() -> Iterator[tuple[str, Callable[[bytes], object], bytes]]:
    """Name, codec, body."""
    yield from ((f"json {name}", decode_json, body) for name, body in _json().items())
    start = b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":'
    for name, body in _json().items():
        yield f"cloudevents {name}", event, start + body + b"}"
    unique = {"type": "array", "uniqueItems": True, "items": {"pattern": "^(a+)+$"}}
    numbers = b"[" + b",".join(b"%d" % number for number in range(150_000)) + b"]"
    yield "json_schema unique", compile_json(json.dumps(unique)), numbers
    maps = b"[" + b",".join(b'{"a":[%d]}' % number for number in range(70_000)) + b"]"
    yield "json_schema unique maps", compile_json(json.dumps(unique)), maps
    yield "json_schema recursive", compile_json('{"items": {"$ref": "#"}}'), b"[" * 1000 + b"]" * 1000
    for name, schema, body in _avro():
        yield f"avro {name}", compile_avro(json.dumps(schema)), body
    read = compile_file(descriptor_set(FILE), "h.M")
    yield from ((f"protobuf {name}", read, body) for name, body in _protobuf().items())
    framed = compile_protobuf(b64encode(FILE.SerializeToString()).decode())
    yield "protobuf path of many steps", framed, filled(b"\xff")
    yield "protobuf path of 2^30 steps", framed, b"\xfe\xff\xff\xff\x07" + bytes(SIZE)


def _json() -> dict[str, bytes]:
    return {
        "deep lists": filled(b"["),
        "deep maps": filled(b'{"a":'),
        "deep and closed": b"[" * (SIZE // 2) + b"]" * (SIZE // 2),
        "empty lists": filled(b"[],", b"[]]", b"["),
        "empty maps": filled(b"{},", b"{}]", b"["),
        "one digit": filled(b"0,", b"0]", b"["),
        "one integer": filled(b"9"),
        "integers": filled(b"99999999999999999999,", b"1]", b"["),
        "exponent": b"1e" + b"9" * SIZE,
        "escapes": filled(b"\\u0000", b'"', b'"'),
        "backslashes": filled(b"\\\\", b'"', b'"'),
        "no end": filled(b"\\\\", b"", b'"'),
        "keys": b"{" + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}",
        "equal keys": filled(b'"data":0,', b'"a":0}', b"{"),
    }


def _avro() -> Iterator[tuple[str, Any, bytes]]:
    yield "nulls", {"type": "array", "items": "null"}, MANY
    yield "nulls in blocks", {"type": "array", "items": "null"}, filled(b"\xfe\xff\x7f", b"\0")
    yield "empty records", {"type": "array", "items": {"type": "record", "name": "E", "fields": []}}, MANY
    yield "nulls in records", HEAVY, MANY
    yield "map", {"type": "map", "values": "null"}, MANY + bytes(SIZE)
    yield "negative count", {"type": "array", "items": "null"}, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"
    yield "bytes", "bytes", MANY + bytes(SIZE)
    yield "negative bytes", "bytes", b"\x01" + bytes(SIZE)
    yield "string", "string", MANY
    yield "fixed", {"type": "fixed", "name": "F", "size": 2**40}, bytes(SIZE)
    yield (
        "decimal",
        {"type": "bytes", "logicalType": "decimal", "scale": 2},
        varint(2 * (SIZE - 4)) + b"\x7f" * (SIZE - 4),
    )
    yield "varint", "long", filled(b"\xff", b"\x01")
    yield "array of varints", {"type": "array", "items": "long"}, MANY + filled(b"\xff")
    yield "deep", NODE, filled(b"\x02")
    yield "deep lists", NODE, filled(b"\x04\x02")
    yield "itself", LOOP, b""
    yield "array of itself", {"type": "array", "items": LOOP}, MANY
    yield "wide records", RECORD, varint(2 * 33_000) + (b"\x02" + bytes(30)) * 33_000 + b"\0"
    yield "absent records", RECORD, varint(2 * SIZE) + bytes(SIZE) + b"\0"
    yield "booleans", {"type": "array", "items": "boolean"}, varint(2 * SIZE) + bytes(SIZE) + b"\0"
    yield (
        "empty arrays",
        {"type": "array", "items": {"type": "array", "items": "int"}},
        varint(2 * SIZE) + bytes(SIZE + 1),
    )
    yield "small blocks", {"type": "array", "items": "int"}, filled(b"\x02\x00", b"\0")
    yield "index of a union", ["null", "string"], MANY


def _protobuf() -> dict[str, bytes]:
    return {
        "groups": filled(b"\x0b"),
        "groups of no field": filled(b"\xfb\x3f"),
        "messages": wrapped(b"\x0a"),
        "empty messages": filled(b"\x0a\x00"),
        "any": any_in_any(),
        "structs": _sized(b"\x1a", wrapped(b"\x2a", b"\x12", b"\x0a")),
        "varint": b"\x08" + filled(b"\xff"),
        "varints": filled(b"\xa0\x01" + b"\xff" * 9 + b"\x01"),
        "booleans": b"\x22" + varint(SIZE - 5) + bytes(SIZE - 5),
        "empty strings": filled(b"\x2a\x00"),
        "length": b"\x0a\xff\xff\xff\xff\x07",
        "unknown fields": filled(b"\xf8\x7f\x00"),
    }


def tried(read: Callable[[bytes], object], body: bytes) -> str:
    try:
        read(body)
    except Undecodable as error:
        return "undecodable" if len(str(error)) < LONGEST_REASON else "a long reason"
    except BaseException:  # noqa: BLE001  whatever it is, it is told
        return traceback.format_exc()
    return "value"


def measured(read: Callable[[bytes], object], body: bytes) -> dict[str, Any]:
    """How decoding ended in a process of its own, CPU seconds, and bytes at the peak above the start."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before = _memory("VmRSS")
        outcome = tried(read, body)[-2000:]
        os.write(writer, json.dumps({"outcome": outcome, "bytes": _memory("VmHWM") - before}).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    _, status, usage = os.wait4(child, 0)
    found = json.loads(told) if told else {"outcome": f"died: {status}", "bytes": -1}
    return {**found, "seconds": round(usage.ru_utime + usage.ru_stime, 2)}


def _memory(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) * 1024


def main() -> None:
    for name, read, body in cases():
        json.dump({"name": name, **measured(read, body)}, sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
