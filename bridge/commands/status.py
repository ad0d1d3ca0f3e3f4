"""``workflow-bridge status``: what the page's overview says, in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console

from bridge.commands.control import asked_of
from bridge.commands.reaching import ConfigFile, OutboxFile, bridge_of, refusing
from bridge.commands.tables import show
from bridge.console.notices import span
from bridge.control.listener import STATUS
from bridge.rehearsal.words import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTS = 1  # the exit code where something wants a person
COLOURS = {"critical": typer.colors.RED, "warning": typer.colors.YELLOW, "info": typer.colors.BLUE}
NUMBERS = ("a second", "behind", "seconds behind")


def status(
    *,
    config: ConfigFile = None,
    outbox: OutboxFile = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tell how the running bridge is: what wants a person, why, and what to do; rates, backlog, quota, sources.

    The same as the page's overview, by the bridge's local socket: no token, and also where `admin` is off. Exit 0:
    nothing wants a person; 1: something does (critical or warning); 2: no bridge runs here.
    """
    bridge = bridge_of(config, outbox, as_json=json)
    with refusing(as_json=json):
        told = asked_of(bridge, {"do": STATUS}, as_json=json)
    if json:
        print(orjson.dumps(told).decode())
    else:
        _print(told)
    if any(notice["severity"] != "info" for notice in told["notices"]):
        raise typer.Exit(WANTS)


def _print(told: dict[str, Any]) -> None:
    terminal = Console(highlight=False, markup=False, soft_wrap=True)
    for notice in told["notices"]:
        title = f"{notice['severity']}: {safe(notice['title'])}"
        typer.secho(title, bold=True, fg=COLOURS.get(notice["severity"]))
        for text in (notice["detail"], notice["advice"]):
            terminal.print(f"  {safe(text)}")
    if not told["notices"]:
        typer.secho("nothing wants you", bold=True, fg=typer.colors.GREEN)
    for name, said in _lines(told):
        typer.echo(f"{name:<10}{said}")
    rows = [_source(source) for source in told["sources"]]
    show(("source", "type", "state", *NUMBERS), rows, right=NUMBERS)


def _lines(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and what is said."""
    config, rates, backlog = told["config"], told["rates"], told["backlog"]
    up = span((told["now_ms"] - told["started_ms"]) / 1000)
    yield "bridge", f"{told['version']}, up {up}, configuration {config['generation']} ({config['digest']})"
    yield "rates", ", ".join(f"{name} {value:.1f}/s" for name, value in rates.items())
    oldest = "" if backlog["oldest_seconds"] is None else f", the oldest for {span(backlog['oldest_seconds'])}"
    waiting = f"{backlog['ready']:,} ready, {backlog['later']:,} later, {backlog['parked']:,} parked"
    yield "waiting", f"{waiting}{oldest}; {backlog['dead_letters']:,} dead letters ({backlog['type']} outbox)"
    for budget in told["budgets"]:
        yield "quota", f"{budget['target']}: {_quota(budget)}"


def _quota(budget: dict[str, Any]) -> str:
    reset = "" if budget["reset_seconds"] is None else f", more in {span(budget['reset_seconds'])}"
    if budget["limit"] is None:
        return f"{budget['state']}{reset}"
    left = f"{budget['remaining']:,} of {budget['limit']:,} requests left"
    kept = "" if budget["reserved"] is None else f", {budget['reserved']:,} of them reserved"
    return f"{budget['state']}, {left}{kept}{reset}"


def _source(source: dict[str, Any]) -> tuple[str, ...]:
    behind = source["lag_messages"]
    seconds = max((part["lag_seconds"] for part in source["partitions"]), default=None)
    return (
        source["name"],
        source["type"],
        source["state"],
        f"{source['received_per_second']:.1f}",
        "-" if behind is None else f"{behind:,}",
        "-" if seconds is None else f"{seconds:.1f}",
    )
