"""What a look at the world outside has found: one question, and what answered it. Who asks is in the borders."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One question to a broker or an API, and the answer. No secret is in it."""

    asked: str  # "topic shop.orders"
    good: bool
    answer: str
    advice: str = ""  # what to do, where it is not good
