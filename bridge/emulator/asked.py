"""A request as it came in, with all that its answer depends on: carried out again in order, it gives the same again."""

from __future__ import annotations

from typing import NamedTuple


class Asked(NamedTuple):
    """One request."""

    time_ms: int  # Unix milliseconds of the emulator's clock
    method: str
    path: str  # as it was sent, escapes and all
    query: str
    caller: str  # the name of the token; behind a "!" the name of the Refusal where there was none
    body: bytes
