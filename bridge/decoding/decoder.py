"""Which codec a source uses; the codecs themselves are in the files beside this one."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from bridge.decoding.json import decode_json
from bridge.decoding.plain import decode_raw, decode_text

if TYPE_CHECKING:
    from collections.abc import Mapping

Decoder = Callable[[bytes | None], object]
"""Body to value; None (a tombstone) stays None. Raises Undecodable, whose text never quotes the body."""


class Decode(StrEnum):
    """The codecs, as they are written in the configuration."""

    JSON = "json"
    TEXT = "text"
    RAW = "raw"


class DecodingSettings(BaseModel):
    """How a source's bodies become values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decode: Decode = Field(
        default=Decode.JSON,
        description="What a body is: `json`, `text` (UTF-8) or `raw` (bytes as they are). "
        "A body that is something else becomes a dead letter.",
    )


_DECODERS: Mapping[Decode, Decoder] = {
    Decode.JSON: decode_json,
    Decode.TEXT: decode_text,
    Decode.RAW: decode_raw,
}


def decoder(settings: DecodingSettings) -> Decoder:
    """The function that decodes the bodies of one source."""
    return _DECODERS[settings.decode]
