"""What a source's configuration says about its bodies."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Decode(StrEnum):
    """The codecs, as they are written in the configuration."""

    JSON = "json"
    TEXT = "text"
    RAW = "raw"
    CLOUDEVENTS = "cloudevents"


class DecodingSettings(BaseModel):
    """How a source's bodies become values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decode: Decode = Field(
        default=Decode.JSON,
        description="What a body is: `json`, `text` (UTF-8), `raw` (bytes as they are) or `cloudevents` (structured or "
        "binary mode; the rules see the data as `body`, the attributes as `ce`). "
        "A body that is something else becomes a dead letter.",
    )
