"""Configurations for tests: a small right one to vary, and how to read it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bridge.config import load_config
from bridge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridge.config import Config

RIGHT: dict[str, Any] = {
    "targets": {"main": {"account_id": "abc", "api_token_file": "token"}},
    "sources": {
        "orders": {"type": "kafka", "bootstrap_servers": ["kafka:9092"], "topics": ["orders"], "group_id": "bridge"},
    },
    "rules": [{"name": "created", "create": {"workflow": "fulfil", "id": "order-${body.id}", "params": "${body}"}}],
    "outbox": {"path": "outbox.db"},
}


class Folder:
    """A folder with a configuration, its token and what else it names; all paths in it are taken from there."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(path)
        self.path = path
        self.environ: dict[str, str] = {}
        (path / "token").write_text("planted-token\n")

    def write(self, text: str) -> None:
        (self.path / "bridge.yaml").write_text(text)

    def load(self, changes: Mapping[str, Any] | None = None) -> Config:
        """The right configuration, with other values at dotted paths; None takes one away."""
        if changes is not None:
            self.write(yaml.safe_dump(changed(changes), sort_keys=False))
        return load_config("bridge.yaml", self.environ)

    def refuse(self, changes: Mapping[str, Any] | None = None) -> list[str]:
        """The problems as they are printed."""
        with pytest.raises(ConfigError) as caught:
            self.load(changes)
        return [str(problem) for problem in caught.value.problems]


def changed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The right configuration with some values replaced."""
    value: Any = copy.deepcopy(RIGHT)
    for path, new in changes.items():
        *parents, last = path.split(".")
        holder = value
        for key in parents:
            holder = holder[int(key)] if isinstance(holder, list) else holder.setdefault(key, {})
        if isinstance(holder, list):
            holder[int(last) :] = [new]
        elif new is None:
            holder.pop(last, None)
        else:
            holder[last] = new
    result: dict[str, Any] = value
    return result
