"""What is told of a storm."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Figures(NamedTuple):
    """What a storm was like. Every message has exactly one of four endings."""

    seed: int
    messages: int
    seconds: float  # until the last of them had ended; 0: it did not end in time
    quiet_ms: tuple[float, float]  # median and 95th percentile of the good messages' way, without hostile ones …
    storm_ms: tuple[float, float]  # … and among them
    good_lost: int
    rss_mib: tuple[int, int]  # of the bridge before, and the most
    tracebacks: int  # in its log
    delivered: int = 0  # at least one call was carried out, and nothing of the message is a dead letter
    dead: int = 0  # at least one dead letter
    unmatched: int = 0
    dropped: int = 0
    lost: int = 0  # none of these
    reasons: Mapping[str, int] = {}
    kinds_delivered: int = 0  # of so many kinds of messages at least one was delivered
    kinds: int = 0


def total(metrics: Mapping[str, float], name: str) -> float:
    return sum(value for sample, value in metrics.items() if re.match(rf"workflow_bridge_{name}({{|$)", sample))


def way(seconds: Iterable[float]) -> tuple[float, float]:
    """Median and 95th percentile, in milliseconds."""
    found = sorted(seconds) or [0.0]
    return round(1000 * found[len(found) // 2], 1), round(1000 * found[int(len(found) * 0.95)], 1)
