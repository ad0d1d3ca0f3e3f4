"""Timestamps and durations as text, their bounds, and the parts that expressions ask for."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from bridge.errors import RuleError
from bridge.routing.values import Duration, Timestamp, Value, type_name

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND: Final = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = int((datetime.min.replace(tzinfo=UTC) - _EPOCH) / timedelta(seconds=1)) * SECOND
_LAST = 253_402_300_800 * SECOND - 1
_LONGEST = 2**63 - 1

_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_PART = re.compile(r"(\d*)\.?(\d*)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_LONGEST_TEXT = 100


def checked_timestamp(ns: int) -> Timestamp:
    """A timestamp, or RuleError where it leaves the years 1 to 9999."""
    if not _FIRST <= ns <= _LAST:
        raise RuleError("the timestamp is out of range")
    return Timestamp(ns)


def checked_duration(ns: int) -> Duration:
    """A duration, or RuleError beyond 64 bits."""
    if not -_LONGEST <= ns <= _LONGEST:
        raise RuleError("the duration is out of range")
    return Duration(ns)


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339 -> Timestamp."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise RuleError("this is no timestamp; one is written 2026-01-31T09:30:00Z")
    day, time, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}+00:00")
    except ValueError:
        raise RuleError("this is no timestamp: there is no such day or time") from None
    seconds = int((moment - _EPOCH) / timedelta(seconds=1)) - _offset_seconds(zone)
    return checked_timestamp(seconds * SECOND + int((fraction or "0").ljust(9, "0")))


def _offset_seconds(zone: str) -> int:
    if zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 23 or minutes > 59:  # noqa: PLR2004  a clock's
        raise RuleError("this is no time zone")
    return (-1 if zone[0] == "-" else 1) * (hours * 3600 + minutes * 60)


def format_timestamp(value: Timestamp) -> str:
    """RFC 3339 in UTC, with as many digits of a second as are needed."""
    seconds, ns = divmod(value.ns, SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    fraction = f".{ns:09}".rstrip("0") if ns else ""
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}{fraction}Z"


def parse_duration(text: str) -> Duration:
    """``1h30m``, ``-1.5s``, ``10ms`` … -> Duration."""
    if len(text) > _LONGEST_TEXT or not _DURATION.fullmatch(text):
        raise RuleError("this is no duration; one is written 1h30m or 1.5s")
    ns = 0
    for whole, fraction, unit in _PART.findall(text):
        ns += int(whole or "0") * _UNITS[unit] + int(fraction or "0") * _UNITS[unit] // 10 ** len(fraction)
    return checked_duration(-ns if text[0] == "-" else ns)


def format_duration(value: Duration) -> str:
    """Seconds, with as many digits as are needed: ``5400s``, ``-1.5s``."""
    seconds, ns = divmod(abs(value.ns), SECOND)
    fraction = f".{ns:09}".rstrip("0") if ns else ""
    return f"{'-' if value.ns < 0 else ''}{seconds}{fraction}s"


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    match = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name, re.ASCII)
    if match:
        span = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-span if match[1] == "-" else span)
    return ZoneInfo(name)


def _moment(value: Timestamp, zone: str) -> datetime:
    moment = _EPOCH + timedelta(microseconds=value.ns // 1000)
    if zone in {"UTC", ""}:
        return moment
    try:
        return moment.astimezone(_zone(zone))
    except (ValueError, OSError, OverflowError, KeyError):
        raise RuleError("this is no time zone, or not one for this timestamp") from None


_DATES: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
    "getMilliseconds": lambda moment: moment.microsecond // 1000,
}
_SPANS: dict[str, Callable[[int], int]] = {
    "getHours": lambda ns: ns // (3600 * SECOND),
    "getMinutes": lambda ns: ns // (60 * SECOND),
    "getSeconds": lambda ns: ns // SECOND,
    "getMilliseconds": lambda ns: ns // 1_000_000 % 1000,
}
ACCESSORS: Final = tuple(_DATES)


def accessor(name: str) -> Callable[..., int]:
    """The function behind ``timestamp.getHours("Europe/Berlin")``, ``duration.getHours()`` and their like."""

    def part(value: Value, zone: Value = None) -> int:
        if type(value) is Timestamp and (zone is None or type(zone) is str):
            return _DATES[name](_moment(value, "UTC" if zone is None else zone))
        if type(value) is Duration and zone is None and name in _SPANS:
            return _SPANS[name](value.ns) if value.ns >= 0 else -_SPANS[name](-value.ns)
        raise RuleError(f"{name} is not defined for {type_name(value)}")

    return part
