"""``workflow-bridge demo``: the main job, shown on this machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bridge.demo import run as demo_run
from bridge.errors import BridgeError

if TYPE_CHECKING:
    from bridge.demo.summary import Summary

CANNOT_RUN = 2  # the exit code
LABELS = {
    "messages": "messages produced",
    "instances": "instances created",
    "events": "events delivered",
    "requests": "API requests",
    "instances_per_create_request": "instances per create request",
    "lost": "lost",
    "duplicates": "duplicates",
    "p50_ms": "produce to delivered, p50 (ms)",
    "p99_ms": "produce to delivered, p99 (ms)",
}


def demo(
    *,
    messages: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="How many messages: half are orders, half their payments.")
    ] = 4_000,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object instead of a table.")] = False,
) -> None:
    """Send orders and payments through a broker, a bridge and the emulator.

    Exit 0: all arrived, once; 1: something was lost or doubled; 2: it cannot run.
    """
    console = Console(stderr=True)
    try:
        summary = _run(messages, console)
    except BridgeError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(CANNOT_RUN) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if json:
        typer.echo(orjson.dumps(summary._asdict()).decode())
    else:
        _show(summary)
    raise typer.Exit(0 if summary.good else 1)


def _run(messages: int, console: Console) -> Summary:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        produced = bars.add_task("produced ", total=messages)
        arrived = bars.add_task("delivered", total=messages)

        def progress(now: demo_run.Progress) -> None:
            bars.update(produced, completed=now.produced)
            bars.update(arrived, completed=now.arrived)

        return asyncio.run(demo_run.run(messages, progress))


def _show(summary: Summary) -> None:
    table = Table(title="workflow-bridge demo", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in summary._asdict().items():
        bad = name in {"lost", "duplicates"} and value
        table.add_row(LABELS[name], f"[red]{value:,}[/red]" if bad else f"{value:,}")
    console = Console()
    console.print(table)
    console.print("[green]everything arrived, once[/green]" if summary.good else "[red]not everything is right[/red]")
