"""What the admin API answers about instances, in the words of the Workflows API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Instance:
    """One row of the API's list."""

    id: str
    status: str
    created_on: str | None
    started_on: str | None
    ended_on: str | None


@dataclass(frozen=True, slots=True)
class Instances:
    """A page of the API's list."""

    instances: list[Instance]
    cursor: str | None
    total: int | None


@dataclass(frozen=True, slots=True)
class WholeInstance:
    """One instance, as the API tells it."""

    id: str
    status: str
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Changed:
    """The answer of the API to a change."""

    status: str
    ids: list[str]
