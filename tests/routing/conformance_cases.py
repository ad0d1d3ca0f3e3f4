"""The conformance cases of the CEL specification as data: which apply here, and the values that they speak of.

The files in ``conformance/`` are google/cel-spec's ``tests/simple/testdata`` (Apache-2.0), converted from text
protobuf to JSON one to one; only descriptions are left out.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.routing.values import TYPES, Duration, Timestamp, Type, Uint, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    Case = dict[str, Value]

FOLDER = Path(__file__).parent / "conformance"
FILES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
_STRINGS = re.compile(r"""[rRbB]{0,2}('''.*?'''|\"\"\".*?\"\"\"|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
_MESSAGE_LITERAL = re.compile(r"\b(?!in\b)[A-Za-z_][\w.]*\s*\{")
_PROTOBUF = re.compile(r"google\.protobuf\.(?!Timestamp\b|Duration\b)|TestAllTypes")
_KNOWN_MESSAGES = {"google.protobuf.Timestamp", "google.protobuf.Duration"}
_PREFIX = "[type.googleapis.com/"


def cases(name: str) -> list[Case]:
    """Every case of one file, in order."""
    found: list[Case] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def left_out(case: Case) -> str:
    """Why a case is not about the language of rules, judged by its data alone; "" for one that is.

    Rules have no protobuf messages (wrappers and Any among them), no enums, and no checker whose verdict could be asked
    for without a value.
    """
    expression = _STRINGS.sub("''", case["expr"])
    if case.get("check_only") or "typed_result" in case:
        return "check only"
    parts = [part for key in ("value", "bindings", "type_env") for part in _parts(case.get(key))]
    if "GlobalEnum" in expression or any("enum_value" in part for part in parts):
        return "enums"
    if _MESSAGE_LITERAL.search(expression) or _PROTOBUF.search(expression) or any(map(_is_message, parts)):
        return "protobuf messages"
    return ""


def _parts(value: Value) -> list[Case]:
    """Every object in a value, itself among them."""
    if isinstance(value, dict):
        return [value, *(part for item in value.values() for part in _parts(item))]
    if isinstance(value, list):
        return [part for item in value for part in _parts(item)]
    return []


def _is_message(part: Case) -> bool:
    held = part.get("object_value", {})
    if not {key.removeprefix(_PREFIX).rstrip("]") for key in held} <= _KNOWN_MESSAGES:
        return True
    return part.get("message_type", "google.protobuf.Timestamp") not in _KNOWN_MESSAGES or "wrapper" in part


def value_of(described: dict[str, Value]) -> Value:
    """A ``cel.expr.Value`` as the value that expressions compute with."""
    ((kind, held),) = described.items()
    return _READERS[kind](held)


def _integer(text: str) -> int:
    return int(text, 0)


def _message(held: dict[str, Value]) -> Timestamp | Duration:
    ((name, fields),) = held.items()
    ns = int(fields.get("seconds", "0")) * 10**9 + int(fields.get("nanos", "0"))
    return Timestamp(ns) if "Timestamp" in name else Duration(ns)


def _bytes(held: str) -> bytes:
    return base64.b64decode(held)


def _map(held: dict[str, Value]) -> dict[Value, Value]:
    return {value_of(entry["key"]): value_of(entry["value"]) for entry in held.get("entries", [])}


def _type(held: str) -> Type:
    return TYPES.get(held, Type(held))


_READERS: dict[str, Callable[[Value], Value]] = {
    "null_value": lambda _: None,
    "bool_value": bool,
    "int64_value": _integer,
    "uint64_value": lambda held: Uint(_integer(held)),
    "double_value": float,
    "string_value": str,
    "bytes_value": _bytes,
    "list_value": lambda held: [value_of(item) for item in held.get("values", [])],
    "map_value": _map,
    "object_value": _message,
    "type_value": _type,
}
