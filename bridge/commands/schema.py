"""``workflow-bridge schema``: what a configuration may hold, for editors and for people."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from bridge.config.markdown import metrics_table, reference
from bridge.config.schema import json_schema


def schema(
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the reference of all settings instead.")] = False,
    metrics: Annotated[bool, typer.Option("--metrics", help="Print the table of all metrics instead.")] = False,
) -> None:
    """Print the JSON Schema of the configuration."""
    if markdown:
        print(reference(), end="")
    elif metrics:
        print(metrics_table(), end="")
    else:
        print(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2).decode())
