"""``workflow-bridge init``: a configuration to begin with."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import orjson
import typer

from bridge.commands.files import refuse
from bridge.config.schema import json_schema
from bridge.config.starter import SCHEMA, secrets, starter


class Broker(StrEnum):
    """Where messages come from."""

    KAFKA = "kafka"
    RABBITMQ = "rabbitmq"


class Outbox(StrEnum):
    """Where calls wait."""

    SQLITE = "sqlite"
    MEMORY = "memory"


def init(
    broker: Annotated[Broker, typer.Argument(help="Where messages come from.")],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write; - writes it to the output.")
    ] = Path("bridge.yaml"),
    outbox: Annotated[
        Outbox, typer.Option(help="sqlite: a file on a disk that stays. memory: none; the broker keeps the messages.")
    ] = Outbox.SQLITE,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a configuration to begin with, commented line by line, and the JSON Schema beside it for editors.

    Exit 0: they are written, and what to do next is said; 2: a file of that name is there, or cannot be written.
    """
    text = starter(broker, outbox)
    if str(output) == "-":
        print(text, end="")
        return
    schema = output.parent / SCHEMA
    try:
        with output.open("w" if force else "x") as file:
            file.write(text)
        schema.write_bytes(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2) + b"\n")
    except FileExistsError:
        refuse(f"{output} is there already, and is left as it is; --output names another file, --force writes over it")
    except OSError as error:
        refuse(f"{error.filename or output} cannot be written: {error.strerror}")
    print(f"wrote {output}, and {schema} for editors")
    for number, step in enumerate(_steps(output, broker), 1):
        print(f"  {number}. {step}")


def _steps(output: Path, broker: Broker) -> list[str]:
    return [
        f"put what is yours where {output} has <-",
        *(f"put {what} into {file}" for file, what in secrets(broker).items()),
        f"workflow-bridge check --config {output}",
        f"workflow-bridge test --config {output}",
        f"workflow-bridge check --config {output} --online",
        f"workflow-bridge run --config {output}",
    ]
