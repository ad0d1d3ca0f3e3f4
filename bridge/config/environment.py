"""Settings from environment variables, laid over those of the file.

``WORKFLOW_BRIDGE_TARGETS__MAIN__ACCOUNT_ID`` is ``targets.main.account_id``: two underscores between the parts, and a
name of the file is found whatever its case and with ``_`` for ``-`` and ``.``. Lists and mappings are written as JSON.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_settings import EnvSettingsSource, SettingsError
from pydantic_settings.sources.utils import parse_env_vars

from bridge.config.model import ENV_DELIMITER, ENV_PREFIX, Config
from bridge.document import Place
from bridge.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.document import Document, Keys


class _Environment(EnvSettingsSource):
    """Reads the mapping that it is given instead of the process's own."""

    given: ClassVar[Mapping[str, str]] = {}

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return parse_env_vars(self.given, self.case_sensitive, self.env_ignore_empty, self.env_parse_none_str)


def overlay(document: Document, environ: Mapping[str, str]) -> set[Keys]:
    """Put the environment's settings over the document's; gives the paths that come from the environment."""
    ours = {name: text for name, text in environ.items() if name.upper().startswith(ENV_PREFIX)}
    document.problems.extend(_unknown(ours))
    readable = {name: text for name, text in ours.items() if _read({name: text}) is not None}
    for name in ours.keys() - readable.keys():
        what = """is no JSON: lists and mappings are written as '["a", "b"]' and '{"a": 1}'"""
        document.problems.append(Problem("", what, f"environment variable {name}"))
    paths: set[Keys] = set()
    together = _read(readable)
    if together is None:
        document.problems.append(Problem("", "two variables say different things of one setting", "environment"))
    _lay(document, document.value, together or {}, (), paths)
    return paths


def _read(given: Mapping[str, str]) -> dict[str, Any] | None:
    """None: what should be JSON is none."""
    source: _Environment = type("_Given", (_Environment,), {"given": given})(Config)
    try:
        return source()
    except SettingsError:
        return None


def variable(path: Keys) -> str:
    """The variable for a setting."""
    return ENV_PREFIX + ENV_DELIMITER.join(_plain(str(key)) for key in path).upper()


def _lay(document: Document, below: dict[str, Any], above: Mapping[str, Any], path: Keys, paths: set[Keys]) -> None:
    names = {_plain(name): name for name in below}
    for given, value in above.items():
        name = names.get(_plain(given), given)
        keys = (*path, name)
        if isinstance(value, dict) and isinstance(below.get(name, {}), dict):
            if name not in below:
                document.places[keys] = Place(f"environment variable {variable(keys)}{ENV_DELIMITER}…", 0)
            _lay(document, below.setdefault(name, {}), value, keys, paths)
        else:
            below[name] = value
            paths.add(keys)
            document.places[keys] = Place(f"environment variable {variable(keys)}", 0)
            document.texts.pop(keys, None)
            document.words.pop(keys, None)


def _plain(name: str) -> str:
    return re.sub(r"[-.]", "_", name).lower()


def _unknown(ours: Mapping[str, str]) -> list[Problem]:
    """Variables that can only be meant for a setting, and name none.

    Those without ``__`` are left alone: Kubernetes sets ``WORKFLOW_BRIDGE_PORT`` for a Service of that name.
    """
    problems = []
    for name in ours:
        first, delimiter, _ = name.upper().removeprefix(ENV_PREFIX).partition(ENV_DELIMITER)
        if delimiter and first.lower() not in Config.model_fields:
            close = get_close_matches(first.lower(), Config.model_fields, 1)
            hint = f"; did you mean {ENV_PREFIX}{close[0].upper()}{ENV_DELIMITER}…?" if close else ""
            problems.append(Problem("", f"names no setting{hint}", f"environment variable {name}"))
    return problems
