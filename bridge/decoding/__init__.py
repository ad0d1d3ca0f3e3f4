"""Bytes of a message body to a value the rules can read: one file per codec, chosen by ``decoder``."""

from bridge.decoding.base import Decoded, Decoder
from bridge.decoding.decoder import decoder
from bridge.decoding.fields import Fields, known_fields
from bridge.decoding.settings import Decode, DecodingSettings

__all__ = ["Decode", "Decoded", "Decoder", "DecodingSettings", "Fields", "decoder", "known_fields"]
