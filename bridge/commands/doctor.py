"""``workflow-bridge doctor``: everything that a bridge needs, looked at from where it is to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import orjson
import typer

from bridge.app import now_ms
from bridge.commands.files import WRONG, ConfigFile
from bridge.commands.online import ask, online_facts, show_online
from bridge.commands.reaching import Bridge, running
from bridge.config import examine
from bridge.errors import ConfigError
from bridge.inspection import machine
from bridge.inspection.inspecting import Subject
from bridge.outbox.settings import SqliteSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.config import Config
    from bridge.errors import Problem

ILL = 4  # the exit code


def doctor(
    *,
    config: ConfigFile,
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds to wait for each answer.")] = 20.0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at all that a bridge needs, and say what to do: configuration, disk, outbox, brokers, API, token, clock.

    Run it where the bridge is to run, or runs, as its user. It changes nothing but a few kilobytes beside the outbox
    file, which it takes away again; with one request for each workflow that rules name it uses the API's quota. Exit 0:
    all is well; 2: the configuration cannot be used; 4: something wants a person, and what to do is said.
    """
    try:
        found = examine(config)
    except ConfigError as error:
        _refuse(error.problems, json=json)
    if found.config is None:
        _refuse(found.problems, json=json)
    asked = ask(found.config, timeout, _subjects(found.config))
    if json:
        facts = {"warnings": [problem._asdict() for problem in found.warnings], **online_facts(asked)}
        print(orjson.dumps(facts).decode())
    else:
        typer.echo(f"{config}: the configuration is right")
        for warning in found.warnings:
            typer.echo(f"  note  {warning}")
        show_online(asked)
    if not asked.good:
        raise typer.Exit(ILL)


def _refuse(problems: Sequence[Problem], *, json: bool) -> NoReturn:
    if json:
        print(orjson.dumps({"good": False, "problems": [problem._asdict() for problem in problems]}).decode())
    else:
        for problem in problems:
            typer.echo(str(problem), err=True)
    raise typer.Exit(WRONG)


def _subjects(config: Config) -> list[Subject]:
    subjects = [
        Subject(f"clock {name}", f"targets.{name}", machine.clock(target, now_ms))
        for name, target in config.targets.items()
    ]
    if isinstance(config.outbox, SqliteSettings):
        path = config.outbox.path
        subjects = [
            Subject("disk", "outbox.path", machine.disk(path)),
            Subject("outbox", "outbox.path", machine.outbox(path, lambda: _runs(Bridge(config, path)))),
            *subjects,
        ]
    return subjects


def _runs(bridge: Bridge) -> bool:
    found = running(bridge)
    if found is not None:
        found.close()
    return found is not None
