"""``workflow-bridge check``: everything that is wrong with a configuration, or what a right one promises."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.text import Text

from bridge.commands.files import WRONG, ConfigFile
from bridge.commands.online import ask, online_facts, show_online
from bridge.config import Examined, examine
from bridge.config.checks import notes
from bridge.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.config import Config
    from bridge.errors import Problem
    from bridge.inspection.inspecting import Inspection

OUT_OF_REACH = 4  # the exit code


def check(
    *,
    config: ConfigFile,
    online: Annotated[
        bool, typer.Option("--online", help="Then ask the brokers and the API whether all that it names is there.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="With --online: seconds to wait for each.")] = 20.0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 2 for warnings, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a configuration; without --online it connects to nothing, and with it it changes nothing.

    Exit 0: it can be used, and warnings say what may not be meant so. 2: it cannot, and every problem is named; with
    --strict also where there are warnings. 4: something that it names is missing, refuses us or does not answer.

    --online asks for the topics, the group and the queues of each source, for where dead letters go, and with one
    request for each workflow that rules name for the token and the workflow; these count towards the API's quota.
    """
    found = _examined(config)
    wrong = bool(found.problems or (strict and found.warnings))
    asked = _asked(found.config, timeout) if online and found.config is not None and not wrong else None
    if json:
        print(orjson.dumps(_facts(found) | ({} if asked is None else {"online": online_facts(asked)})).decode())
    else:
        _show(found, str(config))
        if asked is not None:
            show_online(asked)
    if wrong or (asked is not None and not asked.good):
        raise typer.Exit(WRONG if wrong else OUT_OF_REACH)


def _asked(config: Config, timeout: float) -> Inspection:
    try:
        return ask(config, timeout)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _examined(file: Path) -> Examined:
    try:
        return examine(file, os.environ)
    except ConfigError as error:
        return Examined(None, list(error.problems), [])


def _facts(found: Examined) -> dict[str, object]:
    return {
        "valid": found.config is not None,
        **(_summary(found.config) if found.config is not None else {}),
        "problems": [problem._asdict() for problem in found.problems],
        "warnings": [warning._asdict() for warning in found.warnings],
    }


def _summary(config: Config) -> dict[str, object]:
    return {
        "sources": {name: source.type for name, source in config.sources.items()},
        "rules": [rule.name for rule in config.rules],
        "targets": list(config.targets),
        "outbox": config.outbox.type,
        "digest": config.digest(),
        "notes": notes(config),
    }


def _show(found: Examined, file: str) -> None:
    console = Console(highlight=False)
    if found.config is not None:
        _promise(console, found.config, file)
    wrong, doubtful = set(found.problems), set(found.warnings)
    for problem in sorted(wrong | doubtful, key=lambda problem: (problem.file, problem.line, problem.path)):
        _print(console, _line(problem, "" if problem in wrong else "warning"), "red" if problem in wrong else "yellow")
    counts = [_count(len(found.problems), "problem"), _count(len(found.warnings), "warning")]
    if any(counts):
        _print(console, ", ".join(filter(None, counts)))


def _promise(console: Console, config: Config, file: str) -> None:
    _print(console, f"{file} is right", "green")
    _print(console, "  sources  " + ", ".join(f"{name} ({source.type})" for name, source in config.sources.items()))
    _print(console, "  rules    " + ", ".join(rule.name for rule in config.rules))
    _print(console, "  targets  " + (", ".join(config.targets) or "none"))
    for note in notes(config):
        _print(console, f"  note     {note}")


def _line(problem: Problem, word: str) -> str:
    """As a compiler writes it: the place, how bad it is, what it is about."""
    place = f"{problem.file}:{problem.line}" if problem.line else problem.file
    return ": ".join(filter(None, (place, word, problem.path, problem.message)))


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number > 1 else ''}" if number else ""


def _print(console: Console, text: str, style: str = "") -> None:
    """One line, never broken; in colour on a terminal only."""
    console.print(Text(text, style), soft_wrap=True)
