"""What was read: values, and where each of them stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

Keys = tuple[str | int, ...]

_SECRET = re.compile(r"token|password|secret|url|proxy|auth", re.IGNORECASE)


class Place(NamedTuple):
    """Where something stands."""

    file: str
    line: int  # from 1


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a file and of those that it includes; ``problems`` did not keep the rest from being read."""

    file: str
    value: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    places: dict[Keys, Place] = field(default_factory=dict)
    texts: dict[Keys, str] = field(default_factory=dict)  # of numbers, booleans and nulls, as they were written
    words: dict[Keys, str] = field(default_factory=dict)  # plain texts that YAML 1.1 took for booleans: no, on …

    def position_of(self, path: Sequence[str | int]) -> Place:
        """Where the value at ``path`` stands; for one that is not there, where the nearest around it does."""
        keys = tuple(path)
        while keys and keys not in self.places:
            keys = keys[:-1]
        return self.places.get(keys, Place(self.file, 0))

    def text_of(self, path: Sequence[str | int]) -> str | None:
        """What was written for a number, boolean or null (``1.10``, ``0012``); None for everything else."""
        return self.texts.get(tuple(path))

    def problem(self, path: Sequence[str | int], message: str) -> Problem:
        """A problem with its place."""
        place = self.position_of(path)
        return Problem(dotted(path), message, place.file, place.line)


def dotted(path: Sequence[str | int]) -> str:
    """``("rules", 2, "create", "id")`` -> ``rules[2].create.id``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def may_be_secret(name: str | int) -> bool:
    """Whether what stands under this name should not be shown: nobody reads a secret in the output of a check."""
    return _SECRET.search(str(name)) is not None
