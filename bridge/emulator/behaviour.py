"""What an emulated workflow does: what it waits for, how it ends, how long each part takes."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

_TYPE = "[a-zA-Z0-9_][a-zA-Z0-9_-]{0,99}"
_RETENTION = re.compile(r"(\d+)\s+(second|minute|hour|day|week|month|year)s?")
_UNIT_MS = {
    "second": 1_000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "week": 7 * 86_400_000,
    "month": 30 * 86_400_000,
    "year": 365 * 86_400_000,
}

_BEHAVIOUR = rf"^(completes|fails|waits: ?{_TYPE}(, ?{_TYPE})*)$"


def _a_behaviour(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(_BEHAVIOUR, value):
        raise ValueError(f"{value!r} is not completes, fails, waits:TYPE or waits:TYPE,TYPE")
    return value


Behaviour = Annotated[str, BeforeValidator(_a_behaviour), StringConstraints(pattern=_BEHAVIOUR)]


def duration_ms(value: object) -> int:
    """A duration as the API takes it: milliseconds, or like ``3 days``. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _RETENTION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is no duration like 3 days, and no number of milliseconds")
    return int(match[1]) * _UNIT_MS[match[2]]


class Retention(NamedTuple):
    """How long an instance is kept after its end, and its id with it; milliseconds, None: not said here."""

    success_ms: int | None  # also of one that was terminated
    error_ms: int | None


class WorkflowSettings(BaseModel):
    """One workflow. It ``completes``, it ``fails``, or it ``waits: TYPE, TYPE`` for one event after the other.

    Its instances are queued, then run, then do what it says; after each event that it waited for they run again. All
    times are seconds of the emulator's clock.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    behaviour: Behaviour = "completes"
    queued_seconds: float = Field(default=0, ge=0, description="From the create until it runs, with room to run")
    running_seconds: float = Field(default=0, ge=0, description="How long it runs at a stretch")
    wait_seconds: float = Field(default=86_400, gt=0, description="How long it waits for an event before it fails")
    rollback_seconds: float = Field(default=0, ge=0, description="How long it is rollingBack when that is asked for")
    concurrency: int | None = Field(default=None, ge=1, description="Instances that run at once; more are queued")
    success_retention: int | str = Field(default="7 days", description="Of an instance that says nothing itself")
    error_retention: int | str = Field(default="7 days", description="The same, for one that has failed")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:  # noqa: ANN401  pydantic's own signature
        return {"behaviour": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _durations(self) -> WorkflowSettings:
        duration_ms(self.success_retention)
        duration_ms(self.error_retention)
        return self

    @cached_property
    def plan(self) -> Plan:
        """The same, ready for use."""
        _, _, types = self.behaviour.partition(":")
        return Plan(
            fails=self.behaviour == "fails",
            waits=tuple(text.strip() for text in types.split(",") if text),
            queued_ms=int(self.queued_seconds * 1000),
            running_ms=int(self.running_seconds * 1000),
            wait_ms=int(self.wait_seconds * 1000),
            rollback_ms=int(self.rollback_seconds * 1000),
            success_ms=duration_ms(self.success_retention),
            error_ms=duration_ms(self.error_retention),
        )


class Plan(NamedTuple):
    """What every instance of a workflow does; times in milliseconds."""

    fails: bool
    waits: tuple[str, ...]  # event types, one after the other
    queued_ms: int
    running_ms: int
    wait_ms: int
    rollback_ms: int
    success_ms: int  # retention of an instance that says nothing itself
    error_ms: int
