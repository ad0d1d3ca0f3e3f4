"""What a user writes in ``tests:``, in the configuration or in ``NAME.test.yaml`` beside ``NAME.yaml``: rule tests.

What a case comes out as is found by bridge.rehearsal; ``run`` does not look at them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from bridge import recorded
from bridge.document import dotted
from bridge.errors import NotAMessage, Problem
from bridge.routing.words import Duration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

ACTIONS = ("create", "event", "status", "drop", "dead_letter", "unmatched")
SHORT = ("drop", "dead_letter", "unmatched", "nothing")


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class _ExpectedCall(_Settings):
    """What is left out is not compared."""

    workflow: str | None = Field(None, description="The Workflow's name.")
    id: str | None = Field(None, description="The instance id.")
    target: str | None = Field(None, description="The configured target.")


class ExpectedCreate(_ExpectedCall):
    """An instance is created. What is left out is not compared."""

    params: JsonValue = Field(None, description="The params, whole but for `_bridge` unless that is written.")
    params_include: dict[str, JsonValue] | None = Field(None, description="Some of the params.")
    location_hint: str | None = Field(None, description="Where the instance is to run.")


class ExpectedEvent(_ExpectedCall):
    """An event is sent. What is left out is not compared."""

    type: str | None = Field(None, description="The event type.")
    payload: JsonValue = Field(None, description="The payload, whole but for `_bridge` unless that is written.")
    payload_include: dict[str, JsonValue] | None = Field(None, description="Some of the payload.")


class ExpectedStatus(_ExpectedCall):
    """A status is changed. What is left out is not compared."""

    to: Literal["pause", "resume", "terminate", "restart"] | None = Field(None, description="What to do with it.")


class Expected(_Settings):
    """One thing that becomes of a message."""

    create: ExpectedCreate | None = Field(None, description="An instance is created.")
    event: ExpectedEvent | None = Field(None, description="An event is sent.")
    status: ExpectedStatus | None = Field(None, description="A status is changed.")
    drop: str | Literal[True] | None = Field(None, description="It is dropped; the text is the reason.")
    dead_letter: str | Literal[True] | None = Field(
        None, description="It, or a call of it, becomes a dead letter; the text is the reason, such as `invalid_id`."
    )
    unmatched: Literal[True] | None = Field(None, description="No rule matches it.")
    rule: str | None = Field(None, description="The rule that does this.")
    lane: str | None = Field(None, description="The call's order key, where the rule has `lane`.")
    priority: Literal["high", "normal", "low"] | None = Field(None, description="The call's priority.")
    delay: Duration | None = Field(None, description="How long after the arrival the call is due.")
    not_before: str | None = Field(None, description="When the call is due, such as `2026-03-01T12:00:00Z`.")

    @model_validator(mode="after")
    def _one_thing(self) -> Expected:
        given = [name for name in ACTIONS if getattr(self, name) is not None]
        if len(given) != 1:
            what = "has none" if not given else f"has {' and '.join(given)}"
            raise ValueError(f"an expectation is exactly one of {', '.join(ACTIONS)}; this one {what}")
        about_calls = {"lane", "priority", "delay", "not_before"} & self.model_fields_set
        if about_calls and given[0] in SHORT:
            raise ValueError(f"{' and '.join(sorted(about_calls))}: about calls, and {given[0]} is none")
        return self


def _listed(value: object) -> object:
    """``drop`` and one expectation by itself stand for a list of it, ``nothing`` for the empty one."""
    if isinstance(value, str):
        if value not in SHORT:
            raise ValueError(f"write a list of expectations, or one of {', '.join(SHORT)}")
        return [] if value == "nothing" else [{value: True}]
    return [value] if isinstance(value, dict) else value


class Case(_Settings):
    """One rule test: a message in, and all that becomes of it."""

    name: str = Field(min_length=1, description="What the test shows.")
    message: JsonValue = Field(description="The message; testing.md describes how it is written.")
    arrival: str | None = Field(
        None, description="When it arrives, such as `2026-03-01T12:00:00Z`; left out: at its own timestamp, or 1970."
    )
    expect: Annotated[list[Expected], BeforeValidator(_listed)] = Field(
        description="Calls and dead letters in order; or one of `drop`, `dead_letter`, `unmatched`, `nothing`."
    )


class CaseFile(_Settings):
    """What ``NAME.test.yaml`` holds."""

    tests: list[Case] = Field(default_factory=list, description="Rule tests.")


def case_problems(cases: Iterable[Case], sources: Collection[str]) -> Iterator[Problem]:
    """What is wrong with messages, with paths such as ``tests[3].message.headers[0]``."""
    for number, case in enumerate(cases):
        try:
            message = recorded.read(case.message).message
        except NotAMessage as error:
            yield Problem(dotted(("tests", number, "message", *error.path)), error.message)
            continue
        if message.source not in sources and (message.source or len(sources) != 1):
            listed = ", ".join(sorted(sources))
            said = f"no source {message.source!r}; there are {listed}" if message.source else f"say which of {listed}"
            yield Problem(f"tests[{number}].message.source", said)
        for field, time in _times(case):
            if recorded.epoch_ms(time) is None:
                yield Problem(f"tests[{number}].{field}", 'write a time such as "2026-03-01T12:00:00Z"')


def _times(case: Case) -> Iterator[tuple[str, Any]]:
    if case.arrival is not None:
        yield "arrival", case.arrival
    for number, expected in enumerate(case.expect):
        if expected.not_before is not None:
            yield f"expect[{number}].not_before", expected.not_before
