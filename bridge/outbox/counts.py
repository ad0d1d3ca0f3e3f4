"""What the SQLite outbox counts for metrics beside its depth."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Counts:
    """Written by the writer's thread but for ``wrote``; read by the event loop."""

    def __init__(self) -> None:
        self.write_errors = 0  # transactions that failed, and were tried again or given up
        self.duplicates: Counter[str] = Counter()  # messages left out as seen before, by source
        self.wrote: Callable[[float], None] = lambda _: None  # told in the loop how many seconds a transaction took
