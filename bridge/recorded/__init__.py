"""Messages as JSON: one form for files of recorded messages, for dead letters, and for what people write by hand."""

from bridge.recorded.reading import UNDECODED, Recorded, decode, epoch_ms, read
from bridge.recorded.writing import encode, plain

__all__ = ["UNDECODED", "Recorded", "decode", "encode", "epoch_ms", "plain", "read"]
