"""``workflow-bridge emulator``: a Workflows API on this machine, for trying things out."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path  # noqa: TC003  typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer
import uvloop
from pydantic import ValidationError

from bridge.addresses import is_loopback
from bridge.commands.files import said
from bridge.document import load
from bridge.emulator.quota import CreationSettings, QuotaSettings
from bridge.emulator.server import Emulator
from bridge.emulator.settings import ANY, EXAMPLE_ACCOUNT, EXAMPLE_TOKEN, EmulatorSettings
from bridge.emulator.state import StateUnusable
from bridge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LIST_LAG_SECONDS = 3.0  # about what the live API needed
KEEP_RECORDS = 100_000


def emulator(  # noqa: PLR0913  one parameter per option
    *,
    port: Annotated[int, typer.Option(help="TCP port; 0 is any free one.")] = 8787,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    workflow: Annotated[
        list[str] | None,
        typer.Option(help="NAME=completes, NAME=fails or NAME=waits:EVENT_TYPE; may repeat. '*' is every other name."),
    ] = None,
    token: Annotated[
        list[str] | None,
        typer.Option(
            envvar="WORKFLOW_BRIDGE_EMULATOR_TOKEN",
            help=f"Bearer token that requests must carry; {EXAMPLE_TOKEN} if left out. May repeat: the second is named "
            "token-2, and each has a quota of its own.",
        ),
    ] = None,
    account_id: Annotated[str | None, typer.Option(help=f"The account that it has; {EXAMPLE_ACCOUNT}.")] = None,
    journal: Annotated[Path | None, typer.Option(help="Append every request to this file, as JSON lines.")] = None,
    quota: Annotated[str | None, typer.Option(help="Requests per token, like 1200/300s (default), or off.")] = None,
    creation: Annotated[
        str | None,
        typer.Option(help="New instances per second, of a workflow and in all, like 100/300 (default), or off."),
    ] = None,
    speed: Annotated[float | None, typer.Option(help="How many seconds its clock counts in one; 1.")] = None,
    list_lag: Annotated[
        float | None, typer.Option(help=f"Seconds until a list shows a new instance; {LIST_LAG_SECONDS:g}.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="A folder to live in: killed and started again, it goes on where it was.")
    ] = None,
    faults: Annotated[Path | None, typer.Option(help="A YAML file with a list named faults.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file with everything that it can be told; options win over it.")
    ] = None,
) -> None:
    """Serve the Workflows API from memory, with production's answers and limits, until it is stopped."""
    options = {
        "port": port,
        "host": host,
        **_tokens(token),
        "account_id": account_id,
        "journal_file": journal,
        "speed": speed,
        "list_lag_seconds": list_lag,
        "state_dir": state,
        "workflows": None if workflow is None else _workflows(workflow),
        "faults": None if faults is None else _file(faults).get("faults", []),
    }
    given = {name: value for name, value in options.items() if value is not None}
    if quota is not None:
        given["quota"] = _read(QuotaSettings.parse, quota)
    if creation is not None:
        given["creation"] = _read(CreationSettings.parse, creation)
    uvloop.run(_serve(_settings(given, {} if config is None else _file(config))))


def _settings(options: Mapping[str, Any], file: Mapping[str, Any]) -> EmulatorSettings:
    """Production's limits, then the file, then the options."""
    limits = {"quota": {}, "creation": {}, "list_lag_seconds": LIST_LAG_SECONDS, "journal_records": KEEP_RECORDS}
    try:
        settings = EmulatorSettings.model_validate({**limits, **file, **options})
    except ValidationError as error:
        raise typer.BadParameter(_text(error)) from None
    tokens = [settings.token, *settings.more_tokens.values()]
    if any(one.get_secret_value() == EXAMPLE_TOKEN for one in tokens) and not is_loopback(settings.host):
        raise typer.BadParameter("everybody knows the example token: beyond loopback give one with --token")
    return settings


def _file(path: Path) -> Mapping[str, Any]:
    try:
        document = load(path)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from None
    if document.problems:
        raise typer.BadParameter(str(ConfigError(document.problems)))
    return document.value


def _read(parse: Callable[[str], Any], text: str) -> Any:  # noqa: ANN401  what ``parse`` gives
    try:
        return parse(text)
    except ValidationError as error:
        raise typer.BadParameter(_text(error)) from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _text(error: ValidationError) -> str:
    problems = (
        (".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, "))
        for problem in error.errors(include_input=False)
    )
    return "; ".join(f"{place}: {message}" for place, message in problems)


def _tokens(tokens: list[str] | None) -> dict[str, object]:
    if not tokens:
        return {}
    more = {f"token-{number}": secret for number, secret in enumerate(tokens[1:], 2)}
    return {"token": tokens[0], "more_tokens": more}


def _workflows(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if not all(separator for _, separator, _ in pairs):
        raise typer.BadParameter("--workflow takes NAME=BEHAVIOUR")
    return {name: behaviour for name, _, behaviour in pairs} or {ANY: "completes"}


async def _serve(settings: EmulatorSettings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        running = Emulator(settings)
        await running.__aenter__()
    except StateUnusable as error:
        raise typer.BadParameter(str(error)) from None
    except OSError as error:
        raise typer.BadParameter(f"cannot start: {_why(error, settings)}") from None
    try:
        typer.echo(f"base_url: {running.base_url}")
        typer.echo(f"account_id: {running.account_id}")
        if running.token == EXAMPLE_TOKEN:
            typer.echo(f"api_token: {EXAMPLE_TOKEN}")
        earlier = "" if settings.state_dir is None else f"; {running.journal.total} requests of earlier lives"
        typer.echo(f"serving: until Ctrl-C or SIGTERM{earlier}")
        await stopped.wait()
    finally:
        await running.__aexit__()


def _why(error: OSError, settings: EmulatorSettings) -> str:
    if error.filename is not None:
        return said(error)
    return f"{settings.host}:{settings.port}: {error.strerror}; --port names another one, 0 is any that is free"
