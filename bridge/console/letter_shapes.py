"""What the admin API answers about dead letters. Times are Unix milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter in the list."""

    number: int
    died_ms: int
    reason: str
    detail: str
    rule: str
    source: str
    message_id: str
    operation: str  # empty: no call was rendered
    target: str
    workflow: str
    instance_id: str
    attempts: int
    redriven: int  # how often it was sent again, and died again


@dataclass(frozen=True, slots=True)
class Letters:
    """A page of dead letters, the newest first."""

    letters: list[Letter]
    next: int | None  # give it as ``before`` for the page after this one; None: this was the last
    total: int  # kept, whatever the filter


@dataclass(frozen=True, slots=True)
class LetterKind:
    """How many dead letters are alike."""

    rule: str
    reason: str
    source: str
    count: int


@dataclass(frozen=True, slots=True)
class LetterKinds:
    """The most first."""

    kinds: list[LetterKind]


@dataclass(frozen=True, slots=True)
class WholeLetter:
    """Everything of a dead letter."""

    letter: dict[str, Any]  # as ``workflow-bridge dead-letters show --json`` prints it
    redacted: bool  # whether something was taken out by the configuration's ``redact``
    blocks_lane: bool


@dataclass(frozen=True, slots=True)
class LetterDone:
    """What became of one dead letter."""

    number: int
    # redriven, dead (a new dead letter), dropped (by a rule), discarded, released, edited; or nothing was done:
    # refused, gone (there is none of this number).
    outcome: str
    detail: str
    calls: int  # that it became


@dataclass(frozen=True, slots=True)
class LettersDone:
    """In the order that was asked for."""

    done: list[LetterDone]


@dataclass(frozen=True, slots=True)
class LetterLines:
    """Dead letters as `workflow-bridge dead-letters export` writes them, the oldest first."""

    lines: list[str]
    next: int | None  # give it as ``after`` for the ones after these; None: these were the last


@dataclass(frozen=True, slots=True)
class LettersImported:
    """What was brought in, or with ``dry_run`` would be."""

    imported: int
    kinds: list[LetterKind]  # the most first
