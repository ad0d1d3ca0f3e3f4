"""``workflow-bridge record``: messages of a source into a file."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003  typer reads it
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bridge.commands.files import ConfigFile, refuse, said
from bridge.config import read_config
from bridge.errors import ConfigError, SourceLost
from bridge.recorded import epoch_ms
from bridge.rehearsal.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Iterator

NONE, INTERRUPTED = 1, 130  # exit codes
PLACES = ("earliest", "latest", "committed")
AGAIN_SECONDS = 7.0  # a reader that closes in order takes less
QUEUE = (
    "the messages go back to their queue when this ends, marked as redelivered; until then nobody else gets them. "
    "A quorum queue counts the delivery, and buries a message after its x-delivery-limit (20 from RabbitMQ 4.0 on)."
)


def record(
    *,
    config: ConfigFile,
    source: Annotated[str, typer.Option("--source", help="The configured source.")],
    count: Annotated[int, typer.Option("-n", min=1, help="How many messages.")] = 100,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; left out: the output.")] = None,
    begin: Annotated[
        str,
        typer.Option("--from", help="Kafka: earliest, latest, committed, or a time such as 2026-03-01T12:00:00Z."),
    ] = "earliest",
    timeout: Annotated[float, typer.Option(min=0.1, help="End after so many seconds, with what came by then.")] = 60.0,
) -> None:
    """Take messages of a source into a file, one a line, without committing or acknowledging anything.

    Exit 0: some were taken; 1: none came in time; 2: the source cannot be read; 130: interrupted, what was written is
    kept.
    """
    at: str | int | None = begin if begin in PLACES else epoch_ms(begin)
    if at is None:
        refuse(f"--from is {', '.join(PLACES)}, or a time such as 2026-03-01T12:00:00Z; not {begin!r}")
    try:
        recording = Recording(read_config(config, os.environ, here=False).config, source, count)
        if recording.kind == "rabbitmq":
            typer.echo(f"note: {QUEUE}", err=True)
        with _opened(output) as sink:
            asyncio.run(_run(recording, at, sink, (count, timeout)))
    except ConfigError as error:
        refuse(*error.problems)
    except (SourceLost, OSError) as error:
        refuse(said(error))
    except KeyboardInterrupt:
        typer.echo(f"interrupted; {recording.taken} messages are written", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if recording.taken < count:
        typer.echo(f"{recording.taken} of {count} messages came within {timeout:g} s", err=True)
    elif output is not None:
        typer.echo(f"{recording.taken} message{'s' * (recording.taken != 1)} in {output}", err=True)
    raise typer.Exit(0 if recording.taken else NONE)


async def _run(recording: Recording, at: str | int, sink: BinaryIO, limits: tuple[int, float]) -> None:
    count, seconds = limits
    console = Console(stderr=True)
    columns = (TextColumn("taken"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("taken", total=count)
        running = asyncio.ensure_future(recording.run(at, sink, lambda taken: bars.update(task, completed=taken)))
        try:
            await asyncio.wait([running], timeout=seconds)
        finally:
            while not running.done():  # a client that is just losing its connection may take the first for its loss
                running.cancel()
                await asyncio.wait([running], timeout=AGAIN_SECONDS)
        if not running.cancelled():
            running.result()


@contextmanager
def _opened(file: Path | None) -> Iterator[BinaryIO]:
    if file is None or str(file) == "-":
        yield sys.stdout.buffer
        return
    with file.open("wb") as sink:
        yield sink
