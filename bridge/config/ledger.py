"""The settings of the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from bridge.routing.words import format_duration, parse_duration

OFF = "off"


def _kept(value: object) -> object:
    """``off`` is the text of it, as everywhere in YAML 1.2."""
    if value is None or value == OFF:
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{error}; or off") from error


class LedgerSettings(BaseModel):
    """What became of which message, in the file of the sqlite outbox; `workflow-bridge ledger` looks things up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: Annotated[
        timedelta | None,
        BeforeValidator(_kept),
        PlainSerializer(lambda kept: OFF if kept is None else format_duration(kept)),
        WithJsonSchema({"type": "string", "examples": ["7d", OFF]}),
    ] = Field(
        default=timedelta(days=7),
        description="For how long it can be looked up, or `off`. Some 20 bytes of the file a call. A memory outbox has "
        "no ledger.",
    )
    max_bytes: int = Field(
        default=1 << 30,
        ge=0,
        description="Bytes of the file that it may take; above it the oldest of it goes early. 0: no bound. What it "
        "takes does not count towards `outbox.max_bytes`.",
    )
