"""What the admin API takes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class _Ask(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trial(_Ask):
    """A message to try, in the form of config/testing.md."""

    message: dict[str, JsonValue]
    source: str = Field(default="", max_length=64, description="For a message that names none.")


class LetterNumbers(_Ask):
    """Some dead letters."""

    numbers: list[int] = Field(min_length=1, max_length=500)


class LettersAgain(LetterNumbers):
    """How to send them again; see config/operations.md."""

    how: Literal["auto", "call", "message", "all-rules"] = "auto"
    force: bool = False


class LetterEdit(_Ask):
    """What is to be another one; what is left out stays. As `workflow-bridge dead-letters edit` has it."""

    edited: dict[str, JsonValue]


class LettersIn(_Ask):
    """Dead letters that were exported. All of them are kept, or none."""

    lines: list[str] = Field(min_length=1, max_length=500, description="Each as `dead-letters export` writes it.")
    first_line: int = Field(
        default=1, ge=1, description="The number of the first one, for what is said of a wrong one."
    )
    dry_run: bool = Field(default=False, description="Only look at them.")


class Draining(_Ask):
    """How long it may take."""

    seconds: float = Field(default=25.0, ge=0, le=86_400, description="At most; then it stops with what is left.")


class LogLevelSaid(_Ask):
    """How much the log is to say."""

    level: Literal["debug", "info", "warning", "error", "configured"]
    seconds: float | None = Field(
        default=None, ge=1, le=604_800, description="Then it is as configured again; null: until it is said otherwise."
    )


class Switch(_Ask):
    """Something that can be paused."""

    kind: Literal["all", "source", "rule", "workflow", "target"]
    name: str = Field(default="", max_length=200, description="Empty for all; of a workflow TARGET/WORKFLOW.")


class Pausing(Switch):
    """With the reason, for whoever finds it paused."""

    reason: str = Field(min_length=1, max_length=500)


class NewInstance(_Ask):
    """An instance to create."""

    instance_id: str = Field(min_length=1, max_length=100)
    params: JsonValue = None
    instance_retention: JsonValue = None
    location_hint: str = Field(default="", max_length=20)


class NewInstances(_Ask):
    """One or more."""

    instances: list[NewInstance] = Field(min_length=1, max_length=100)


class StatusChange(_Ask):
    """What to do with an instance."""

    status: Literal["pause", "resume", "terminate", "restart"]


class EventToSend(_Ask):
    """An event."""

    type: str = Field(min_length=1, max_length=100)
    payload: JsonValue = None


class Nothing(_Ask):
    """Nothing more to say: ``{}``."""
