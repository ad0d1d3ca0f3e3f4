"""``workflow-bridge check``: everything that is wrong with a configuration, or what a right one promises."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from bridge.config import load_config
from bridge.config.checks import notes
from bridge.errors import ConfigError

if TYPE_CHECKING:
    from bridge.config import Config

WRONG = 2  # the exit code

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar="WORKFLOW_BRIDGE_CONFIG", help="The configuration file.")
]


def check(
    *,
    config: ConfigFile,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a configuration without connecting to anything. Exit 0: it is right; 2: every problem is named."""
    try:
        loaded = load_config(config, os.environ)
    except ConfigError as error:
        _show_problems(error, as_json=json)
        raise typer.Exit(WRONG) from None
    summary = _summary(loaded)
    if json:
        print(orjson.dumps({"valid": True, **summary, "problems": []}).decode())
    else:
        _show(summary, str(config))


def _summary(config: Config) -> dict[str, object]:
    return {
        "sources": {name: source.type for name, source in config.sources.items()},
        "rules": [rule.name for rule in config.rules],
        "targets": list(config.targets),
        "outbox": config.outbox.type,
        "digest": config.digest(),
        "notes": notes(config),
    }


def _show(summary: dict[str, object], file: str) -> None:
    sources, rules, targets = summary["sources"], summary["rules"], summary["targets"]
    assert isinstance(sources, dict)  # noqa: S101  made above
    assert isinstance(rules, list)  # noqa: S101  made above
    assert isinstance(targets, list)  # noqa: S101  made above
    print(f"{file} is right")
    print("  sources  " + ", ".join(f"{name} ({kind})" for name, kind in sources.items()))
    print("  rules    " + ", ".join(rules))
    print("  targets  " + (", ".join(targets) or "none"))
    for note in summary["notes"]:  # type: ignore[attr-defined]  # a list, made above
        print(f"  note     {note}")


def _show_problems(error: ConfigError, *, as_json: bool) -> None:
    if as_json:
        problems = [problem._asdict() for problem in error.problems]
        print(orjson.dumps({"valid": False, "problems": problems}).decode())
        return
    for problem in error.problems:
        print(problem)
    count = len(error.problems)
    print(f"{count} problem{'s' if count > 1 else ''}")
