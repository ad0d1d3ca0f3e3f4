"""``workflow-bridge emulator``: a Workflows API on this machine, for trying things out."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path  # noqa: TC003  typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from bridge.addresses import is_loopback
from bridge.emulator.quota import CreationSettings, QuotaSettings
from bridge.emulator.server import Emulator
from bridge.emulator.settings import ANY, EXAMPLE_ACCOUNT, EXAMPLE_TOKEN, EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable


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
    account_id: Annotated[str, typer.Option(help="The account that it has.")] = EXAMPLE_ACCOUNT,
    journal: Annotated[Path | None, typer.Option(help="Append every request to this file, as JSON lines.")] = None,
    quota: Annotated[str, typer.Option(help="Requests per token, like 1200/300s, or off.")] = "1200/300s",
    creation: Annotated[
        str, typer.Option(help="New instances per second, of a workflow and in all, like 100/300, or off.")
    ] = "100/300",
    speed: Annotated[float, typer.Option(help="How many seconds its clock counts in one.")] = 1.0,
) -> None:
    """Serve the Workflows API from memory, with production's answers, until it is stopped."""
    tokens = token or [EXAMPLE_TOKEN]
    if EXAMPLE_TOKEN in tokens and not is_loopback(host):
        raise typer.BadParameter("everybody knows the example token: beyond loopback give one with --token")
    more = {f"token-{number}": secret for number, secret in enumerate(tokens[1:], 2)}
    values = {"host": host, "port": port, "account_id": account_id, "token": tokens[0], "more_tokens": more}
    values |= {"journal_file": journal, "speed": speed, "workflows": _workflows(workflow)}
    values |= {"quota": _read(QuotaSettings.parse, quota), "creation": _read(CreationSettings.parse, creation)}
    try:
        settings = EmulatorSettings.model_validate(values)
    except ValidationError as error:
        raise typer.BadParameter(_text(error)) from None
    try:
        asyncio.run(_serve(settings))
    except OSError as error:
        raise typer.BadParameter(f"cannot start: {error.strerror}") from None


def _read(parse: Callable[[str], Any], text: str) -> Any:  # noqa: ANN401  what ``parse`` gives
    try:
        return parse(text)
    except ValidationError as error:
        raise typer.BadParameter(_text(error)) from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _text(error: ValidationError) -> str:
    problems = ((".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors())
    return "; ".join(f"{place}: {message}" for place, message in problems)


def _workflows(texts: list[str] | None) -> dict[str, str]:
    if not texts:
        return {ANY: "completes"}
    pairs = [text.partition("=") for text in texts]
    if not all(separator for _, separator, _ in pairs):
        raise typer.BadParameter("--workflow takes NAME=BEHAVIOUR")
    return {name: behaviour for name, _, behaviour in pairs}


async def _serve(settings: EmulatorSettings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with Emulator(settings) as running:
        typer.echo(f"base_url: {running.base_url}")
        typer.echo(f"account_id: {running.account_id}")
        if running.token == EXAMPLE_TOKEN:
            typer.echo(f"api_token: {EXAMPLE_TOKEN}")
        await stopped.wait()
