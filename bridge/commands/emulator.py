"""``workflow-bridge emulator``: a Workflows API on this machine, for trying things out."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path  # noqa: TC003  typer reads it
from typing import Annotated

import typer
from pydantic import ValidationError

from bridge.cloudflare.settings import is_loopback
from bridge.emulator.server import Emulator
from bridge.emulator.settings import ANY, EXAMPLE_ACCOUNT, EXAMPLE_TOKEN, EmulatorSettings


def emulator(
    *,
    port: Annotated[int, typer.Option(help="TCP port; 0 is any free one.")] = 8787,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    workflow: Annotated[
        list[str] | None,
        typer.Option(help="NAME=completes, NAME=fails or NAME=waits:EVENT_TYPE; may repeat. '*' is every other name."),
    ] = None,
    token: Annotated[
        str, typer.Option(envvar="WORKFLOW_BRIDGE_EMULATOR_TOKEN", help="Bearer token that requests must carry.")
    ] = EXAMPLE_TOKEN,
    account_id: Annotated[str, typer.Option(help="The account that it has.")] = EXAMPLE_ACCOUNT,
    journal: Annotated[Path | None, typer.Option(help="Append every request to this file, as JSON lines.")] = None,
) -> None:
    """Serve the Workflows API from memory, with production's answers, until it is stopped."""
    if token == EXAMPLE_TOKEN and not is_loopback(host):
        raise typer.BadParameter("everybody knows the example token: beyond loopback give one with --token")
    values = {"host": host, "port": port, "account_id": account_id, "token": token, "journal_file": journal}
    try:
        settings = EmulatorSettings.model_validate({**values, "workflows": _workflows(workflow)})
    except ValidationError as error:
        raise typer.BadParameter("; ".join(str(problem["msg"]) for problem in error.errors())) from None
    try:
        asyncio.run(_serve(settings))
    except OSError as error:
        raise typer.BadParameter(f"cannot start: {error.strerror}") from None


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
