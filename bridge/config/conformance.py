"""How the expressions of rules fare with the CEL specification's own test cases; a test counts again and compares."""

from __future__ import annotations

from typing import Final, NamedTuple


class File(NamedTuple):
    """The cases of one file of google/cel-spec, ``tests/simple/testdata``."""

    name: str
    passed: int
    applicable: int
    left_out: str  # how many, and why; "" for none


_CONTAINER = "rules have no container, whose name would stand before those of variables"
# Applicable cases that give something else, each with its reason.
MISSES: Final = {
    "namespace/namespace/self_eval_container_lookup": _CONTAINER,
    "namespace/namespace/self_eval_container_lookup_unchecked": _CONTAINER,
    "namespace/namespace_shadowing/basic": _CONTAINER,
    "string_ext/format/map support (all key types)": "no map holds both `1` and `true` as keys",
}

FILES: Final = (
    File("basic", 43, 43, ""),
    File("comparisons", 334, 334, "72 protobuf messages"),
    File("conversions", 109, 109, ""),
    File("encoders_ext", 4, 4, ""),
    File("fields", 60, 60, ""),
    File("fp_math", 30, 30, ""),
    File("integer_math", 64, 64, ""),
    File("lists", 39, 39, ""),
    File("logic", 30, 30, ""),
    File("macros", 44, 44, ""),
    File("namespace", 11, 14, ""),
    File("optionals", 59, 59, "11 protobuf messages"),
    File("parse", 193, 193, "26 protobuf messages"),
    File("plumbing", 5, 5, ""),
    File("string", 51, 51, ""),
    File("string_ext", 212, 213, "3 protobuf messages"),
    File("timestamps", 78, 78, ""),
)
