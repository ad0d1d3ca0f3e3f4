"""Bytes of a message body to a value the rules can read: one file per codec, chosen by ``decoder``."""

from bridge.decoding.decoder import Decode, Decoder, DecodingSettings, decoder

__all__ = ["Decode", "Decoder", "DecodingSettings", "decoder"]
