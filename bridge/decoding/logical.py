"""Avro's logical types as values of the rules. Nothing is ever rounded.

Instants are timestamps; decimals, days and times of day, which the rules have no type for, are text that keeps every
digit. Source: avro.apache.org/docs/1.12.0/specification/#logical-types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from fastavro.read import LOGICAL_READERS

from bridge.errors import RuleError, Undecodable
from bridge.routing.times import SECOND, checked_timestamp, format_timestamp
from bridge.routing.values import Timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Schema = Any  # as JSON has it: a name, a list (a union) or a map

OWN = "workflow-bridge-"  # before our names, so that other users of fastavro in this process see what they know
MAX_DECIMAL_BYTES = 256
DAY = 86_400 * SECOND


def with_own_names(schema: Schema) -> Schema:
    """The schema with ``logicalType`` renamed to what this module has registered with fastavro."""
    if isinstance(schema, dict):
        named = {key: with_own_names(value) for key, value in schema.items()}
        if isinstance(named.get("logicalType"), str):
            named["logicalType"] = OWN + named["logicalType"]
        return named
    return [with_own_names(item) for item in schema] if isinstance(schema, list) else schema


def _timestamp(ns: int) -> Timestamp:
    try:
        return checked_timestamp(ns)
    except RuleError:
        raise Undecodable("a timestamp outside of the years 1 to 9999") from None


def _instant(unit_ns: int) -> Callable[[int, Schema], object]:
    return lambda value, _: _timestamp(value * unit_ns)


def _local(unit_ns: int) -> Callable[[int, Schema], object]:
    return lambda value, _: format_timestamp(_timestamp(value * unit_ns)).removesuffix("Z")


def _date(days: int, _: Schema) -> str:
    return format_timestamp(_timestamp(days * DAY))[:10]


def _time(unit_ns: int) -> Callable[[int, Schema], str]:
    def text(value: int, _: Schema) -> str:
        ns = value * unit_ns
        if not 0 <= ns < DAY:
            raise Undecodable("a time of day outside of the day")
        return format_timestamp(Timestamp(ns))[11:].removesuffix("Z")

    return text


def _decimal(data: bytes, schema: Schema) -> str:
    if len(data) > MAX_DECIMAL_BYTES:
        raise Undecodable(f"a decimal of more than {MAX_DECIMAL_BYTES} bytes")
    unscaled, scale = int.from_bytes(data, "big", signed=True), schema.get("scale", 0)
    sign, digits = "-" if unscaled < 0 else "", str(abs(unscaled)).rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else sign + digits


def _uuid(data: bytes, _: Schema) -> str:
    return str(UUID(bytes=data))


def _duration(data: bytes, _: Schema) -> dict[str, int]:
    parts = (int.from_bytes(data[at : at + 4], "little") for at in (0, 4, 8))
    return dict(zip(("months", "days", "milliseconds"), parts, strict=True))


_CONVERSIONS: Mapping[str, Callable[[Any, Schema], object]] = {
    "bytes-decimal": _decimal,
    "fixed-decimal": _decimal,
    "fixed-uuid": _uuid,
    "fixed-duration": _duration,
    "int-date": _date,
    "int-time-millis": _time(SECOND // 1_000),
    "long-time-micros": _time(SECOND // 1_000_000),
    "long-timestamp-millis": _instant(SECOND // 1_000),
    "long-timestamp-micros": _instant(SECOND // 1_000_000),
    "long-timestamp-nanos": _instant(1),
    "long-local-timestamp-millis": _local(SECOND // 1_000),
    "long-local-timestamp-micros": _local(SECOND // 1_000_000),
    "long-local-timestamp-nanos": _local(1),
}


def _register() -> None:
    for name, convert in _CONVERSIONS.items():
        kind, _, logical = name.partition("-")

        def read(data: object, writer: Schema, _: Schema = None, *, convert: Callable[..., object] = convert) -> object:
            return convert(data, writer)

        LOGICAL_READERS[f"{kind}-{OWN}{logical}"] = read


_register()
