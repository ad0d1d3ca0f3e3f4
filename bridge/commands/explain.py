"""``workflow-bridge explain``: what every rule makes of one message, and why."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from bridge.app import now_ms
from bridge.commands.files import ConfigFile, refuse, said
from bridge.config import read_config
from bridge.errors import ConfigError, RecordMissing, SchemasUnavailable, SourceLost
from bridge.rehearsal.explanation import explain as explained
from bridge.rehearsal.inputs import one_message
from bridge.rehearsal.live import Place, message_at
from bridge.rehearsal.stage import Stage
from bridge.rehearsal.words import explanation_data, explanation_lines, safe

if TYPE_CHECKING:
    from bridge.rehearsal.explanation import Explanation
    from bridge.rehearsal.stage import Sample

NOTHING = 1  # the exit code

MessageFile = Annotated[
    Path | None,
    typer.Argument(metavar="MESSAGE", help="A message as JSON (config/testing.md); - reads it from the input."),
]


def explain(  # noqa: PLR0913  the options of a command
    message: MessageFile = None,
    *,
    config: ConfigFile,
    source: Annotated[str, typer.Option("--source", help="The source, where the message does not say.")] = "",
    topic: Annotated[str, typer.Option(help="Read the message from this topic instead …")] = "",
    partition: Annotated[int, typer.Option(min=0, help="… this partition …")] = 0,
    offset: Annotated[int | None, typer.Option(min=0, help="… and this offset; nothing is committed.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask every rule about one message, and say why it matches or not, and what it would call. Nothing is sent.

    Exit 0: a rule matches and nothing becomes a dead letter; 1: none does, or something would; 2: the configuration or
    the message cannot be used, or the message cannot be had.
    """
    if (message is None) == (offset is None):
        refuse("say which message: a file, or --topic, --partition and --offset", as_json=json)
    try:
        stage = Stage(read_config(config, os.environ, here=False).config)
        place = None if offset is None else Place(topic, partition, offset)
        sample = _written(stage, message, source) if place is None else _live(stage, source, place)
        explanation = asyncio.run(_explained(stage, sample))
    except ConfigError as error:
        refuse(*error.problems, as_json=json)
    except (RecordMissing, SchemasUnavailable, SourceLost, OSError) as error:
        refuse(said(error), as_json=json)
    if json:
        print(orjson.dumps(explanation_data(explanation)).decode())
    else:
        for line in explanation_lines(explanation):
            print(safe(line))
    routed = explanation.routed
    raise typer.Exit(NOTHING if routed.dead or routed.unmatched else 0)


async def _explained(stage: Stage, sample: Sample) -> Explanation:
    try:
        return await explained(stage, sample, now_ms())
    finally:
        await stage.close()


def _written(stage: Stage, file: Path | None, source: str) -> Sample:
    text = sys.stdin.buffer.read() if file is None or str(file) == "-" else file.read_bytes()
    return one_message(text, str(file), lambda recorded: stage.sample(recorded, source))


def _live(stage: Stage, source: str, place: Place) -> Sample:
    return asyncio.run(message_at(stage.config, source, place))
