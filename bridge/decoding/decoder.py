"""Which codec a source uses; the codecs themselves are in the files beside this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.decoding.base import BodyDecoder
from bridge.decoding.cloudevents import CloudEventDecoder
from bridge.decoding.json import decode_json
from bridge.decoding.plain import decode_raw, decode_text
from bridge.decoding.settings import Decode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.decoding.base import Decoder
    from bridge.decoding.settings import DecodingSettings

_BODIES: Mapping[Decode, Callable[[bytes | None], object]] = {
    Decode.JSON: decode_json,
    Decode.TEXT: decode_text,
    Decode.RAW: decode_raw,
}


def decoder(settings: DecodingSettings) -> Decoder:
    """The codec of one source."""
    if settings.decode is Decode.CLOUDEVENTS:
        return CloudEventDecoder()
    return BodyDecoder(_BODIES[settings.decode])
