"""What a user writes as one word or text in a rule: durations, what an absent instance means, retentions."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from bridge.call import IfMissing

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_LONGEST = timedelta(days=366)
DEFAULT_WAIT = timedelta(minutes=15)


def parse_duration(value: object) -> timedelta:
    """``"1h30m"``, ``"15m"``, ``"10s"``, ``"500ms"``, ``"2d"`` -> timedelta. Raises ValueError with the form to use."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError('write a duration with its unit, such as "10s", "15m", "1h30m" or "2d"')
    seconds = sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(value))
    if seconds > _LONGEST.total_seconds():
        raise ValueError("a duration is at most 366 days")
    return timedelta(seconds=seconds)


def shown_duration(value: timedelta) -> str:
    """For people: a whole number of the largest unit, such as "7d"."""
    for unit, size in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1))):
        if not value % size:
            return f"{value // size}{unit}"
    return f"{value.total_seconds():g}s"


def format_duration(value: timedelta) -> str:
    """The inverse of ``parse_duration``, in seconds."""
    return f"{value.total_seconds():.3f}".rstrip("0").rstrip(".") + "s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["15m"]}),
]


class Missing(BaseModel):
    """What an absent instance means; written as one text, for example ``wait 15m``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: IfMissing
    wait: timedelta = DEFAULT_WAIT


def parse_missing(value: object) -> Missing:
    """``wait``, ``wait 15m``, ``create``, ``drop``, ``dead-letter`` -> Missing. Raises ValueError."""
    if isinstance(value, Missing):
        return value
    word, _, rest = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if word == IfMissing.WAIT:
        return Missing(kind=IfMissing.WAIT, wait=parse_duration(rest) if rest else DEFAULT_WAIT)
    if word in {IfMissing.CREATE, IfMissing.DROP, IfMissing.DEAD_LETTER} and not rest:
        return Missing(kind=IfMissing(word))
    raise ValueError('use "wait 15m", "create", "drop" or "dead-letter"')


def format_missing(value: Missing) -> str:
    """The inverse of ``parse_missing``."""
    return f"wait {format_duration(value.wait)}" if value.kind is IfMissing.WAIT else value.kind.value


MissingText = Annotated[
    Missing,
    BeforeValidator(parse_missing),
    PlainSerializer(format_missing),
    WithJsonSchema({"type": "string", "pattern": "^(wait( .+)?|create|drop|dead-letter)$", "examples": ["wait 15m"]}),
]


_RETENTION = re.compile(r"\d+\s+(second|minute|hour|day|week|month|year)s?")


def _retention(value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, int) and value <= 0):
        raise ValueError('write a retention such as "3 days", or a positive number of milliseconds')
    if isinstance(value, str) and not _RETENTION.fullmatch(value):
        raise ValueError('write a retention such as "3 days" or "12 hours"')
    return value


RetentionTime = Annotated[
    str | int,
    Field(description='How long, such as "3 days", or milliseconds.'),
    BeforeValidator(_retention),
]
