"""Texts of a document: placeholders that stand for the environment, and words that YAML took for something else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bridge.config.environment import variable
from bridge.config.problems import locate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError

    from bridge.document import Document, Keys
    from bridge.errors import Problem

_PLACEHOLDER = re.compile(r"(?<!\$)\$\{ENV:([^}]*)\}")


def fill_in(document: Document, environ: Mapping[str, str]) -> list[Problem]:
    """Replace ``${ENV:NAME}`` in vars. Anywhere else it is a problem."""
    problems = []

    def replaced(text: str, path: Keys) -> str:
        for name in _PLACEHOLDER.findall(text):
            if path[0] != "vars":
                fix = "name it in vars and write vars.name" if path[0] == "rules" else f"set {variable(path)}"
                problems.append(document.problem(path, f"${{ENV:…}} is allowed in vars only; {fix}"))
            elif name not in environ:
                problems.append(document.problem(path, f"the environment has no variable {name!r}"))
        return _PLACEHOLDER.sub(lambda found: environ.get(found[1], ""), text) if path[0] == "vars" else text

    for key, value in document.value.items():
        document.value[key] = _mapped(value, (key,), replaced)
    return problems


def _mapped(value: Any, path: Keys, change: Any) -> Any:  # noqa: ANN401  any value of a document
    if isinstance(value, str):
        return change(value, path)
    if isinstance(value, list):
        return [_mapped(item, (*path, number), change) for number, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _mapped(item, (*path, key), change) for key, item in value.items()}
    return value


def take_texts(document: Document, error: ValidationError) -> bool:
    """Where a text is wanted and ``0012`` or ``1.10`` was written, take what was written. True: some were."""
    found = False
    for details in error.errors(include_url=False):
        path = locate(document.value, details)
        text = document.texts.pop(path, None) if details["type"] == "string_type" else None
        if text:
            *parents, last = path
            holder: Any = document.value
            for key in parents:
                holder = holder[key]
            holder[last] = text
            found = True
    return found
