"""``workflow-bridge backtest``: recorded messages against a configuration, or against two."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bridge.admission import TOO_OLD
from bridge.app import now_ms
from bridge.commands.files import ConfigFile, refuse, said
from bridge.config import read_config
from bridge.errors import ConfigError, SchemasUnavailable
from bridge.recorded import epoch_ms
from bridge.rehearsal.backtest import Backtest, outcome_data
from bridge.rehearsal.inputs import lines
from bridge.rehearsal.stage import Stage
from bridge.rehearsal.words import call_lines, safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bridge.rehearsal.backtest import Forecast, Outcome
    from bridge.rehearsal.inputs import Line
    from bridge.routing.comparison import Change, Difference

DIFFERENT = 1  # the exit code
INTERRUPTED = 130

Recorded = Annotated[
    Path, typer.Argument(metavar="RECORDED", help="Messages, one a line (config/testing.md); - reads the input.")
]


def backtest(  # noqa: PLR0913  the options of a command
    recorded: Recorded,
    *,
    config: ConfigFile,
    against: Annotated[Path | None, typer.Option(help="The configuration to compare with.")] = None,
    source: Annotated[str, typer.Option("--source", help="The source of messages that name none.")] = "",
    arrival: Annotated[
        str, typer.Option(help="When all of them arrive, such as 2026-03-01T12:00:00Z; now, unless said otherwise.")
    ] = "",
    show: Annotated[int, typer.Option(min=0, max=10_000, help="Show so many messages that fare otherwise.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count what the rules would make of recorded messages, and what changes between two configurations.

    Nothing is sent. Exit 0: nothing changes, or there is nothing to compare with; 1: something changes; 2: a
    configuration or the file cannot be used.
    """
    arrival_ms = epoch_ms(arrival) if arrival else now_ms()
    if arrival_ms is None:
        refuse(f"--arrival is a time such as 2026-03-01T12:00:00Z; not {arrival!r}", as_json=json)
    try:
        old = None if against is None else Stage(read_config(against, os.environ, here=False).config)
        new = Stage(read_config(config, os.environ, here=False).config)
        test = Backtest(new, old, str(recorded), source=source, samples=show)
        with _opened(recorded) as stream, _bar(recorded) as progress:
            asyncio.run(_run(test, lines(stream, str(recorded)), arrival_ms, progress))
    except ConfigError as error:
        refuse(*error.problems, as_json=json)
    except (SchemasUnavailable, OSError) as error:
        refuse(said(error), as_json=json)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if json:
        print(orjson.dumps(outcome_data(test.outcome)).decode())
    else:
        for line in _shown(test.outcome):
            print(safe(line))
    raise typer.Exit(DIFFERENT if test.outcome.comparison.differing else 0)


async def _run(test: Backtest, read: Iterable[Line], arrival_ms: int, progress: Callable[[int], None]) -> None:
    try:
        await test.run(read, arrival_ms, progress)
    finally:
        await test.close()


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    with file.open("rb") as stream:
        yield stream


@contextmanager
def _bar(file: Path) -> Iterator[Callable[[int], None]]:
    """A progress bar, on a terminal only; it takes the bytes that have been read."""
    console = Console(stderr=True)
    columns = (TextColumn("routed"), BarColumn(), TaskProgressColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("routed", total=file.stat().st_size if file.is_file() else None)
        yield lambda read: bars.update(task, completed=read)


def _shown(outcome: Outcome) -> Iterator[str]:
    new, old, comparison = outcome
    yield from _forecast(new)
    if old is None:
        return
    yield ""
    if not comparison.differing:
        yield "nothing changes"
        return
    yield f"{comparison.differing:,} of {comparison.messages:,} messages fare otherwise"
    for sentence in comparison.sentences():
        yield f"  {sentence}"
    for difference in comparison.samples:
        yield ""
        yield from _sample(difference)
    if comparison.differing > len(comparison.samples):
        yield f"… and {comparison.differing - len(comparison.samples):,} more: --show N"


def _forecast(forecast: Forecast) -> Iterator[str]:
    calls = sum(forecast.calls.values())
    yield f"{forecast.messages:,} messages, {calls:,} calls"
    for (rule, operation, workflow), count in forecast.calls.most_common():
        yield f"  {count:>9,}  {operation} {workflow}  by {rule}"
    for (rule, reason), count in forecast.dead.most_common():
        yield f"  {count:>9,}  dead letters, {reason}" + (f"  by {rule}" if rule else "")
    for reason, count in forecast.dropped.most_common():
        told = "ignored: too old on arrival (--arrival)" if reason == TOO_OLD else f"dropped: {reason}"
        yield f"  {count:>9,}  {told}"
    if forecast.unmatched:
        yield f"  {forecast.unmatched:>9,}  matched by no rule"


def _sample(difference: Difference) -> Iterator[str]:
    yield f"message {difference.message.id} of source {difference.message.source}"
    for change in difference.changes:
        kind = f"{change.operation} {change.what}" if change.operation else change.what
        yield f"  {change.rule + ': ' if change.rule else ''}{kind}"
        yield from _sides(change)


def _sides(change: Change) -> Iterator[str]:
    for mark, side in (("-", change.old), ("+", change.new)):
        if side is None:
            continue
        lines_of = [side] if isinstance(side, str) else list(call_lines(side))
        yield from (f"  {mark} {line.removeprefix('   ')}" for line in lines_of)
