"""The file that ``shadow`` names: rules that are asked about live messages, and never call."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from bridge.config.model import ShadowRules
from bridge.config.problems import from_pydantic
from bridge.config.texts import fill_in, take_texts
from bridge.document import load
from bridge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridge.document import Document
    from bridge.errors import Problem


class ReadShadow(NamedTuple):
    """What the file holds, and where; ``rules`` is None where that cannot be used."""

    rules: ShadowRules | None
    document: Document | None
    problems: list[Problem]


def read_shadow(path: Path, environ: Mapping[str, str]) -> ReadShadow:
    """Read and validate the file; the rules are not compiled yet. Raises nothing: problems have file and line."""
    try:
        document = load(path)
    except ConfigError as error:
        return ReadShadow(None, None, list(error.problems))
    problems = [*document.problems, *fill_in(document, environ)]
    while True:
        try:
            rules = ShadowRules.model_validate(document.value)
        except ValidationError as error:
            if take_texts(document, error):
                continue
            return ReadShadow(None, document, [*problems, *from_pydantic(error, document)])
        return ReadShadow(None if problems else rules, document, problems)
