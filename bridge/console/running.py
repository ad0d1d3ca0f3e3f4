"""What the console knows of the bridge that runs. Everything in here is read in the main event loop alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridge.console.sampling import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.config import Config
    from bridge.control.operator import Operator
    from bridge.metrics import Metrics
    from bridge.outbox.memory import MemoryOutbox
    from bridge.outbox.sqlite import SqliteOutbox
    from bridge.reload.live import Live
    from bridge.reload.reloader import Reloader

LATER = ("retry", "park")


class Running(NamedTuple):
    """The parts of one run."""

    live: Live
    reloader: Reloader
    outbox: SqliteOutbox | MemoryOutbox
    metrics: Metrics
    operator: Operator
    now_ms: Callable[[], int]  # Unix epoch
    started_ms: int

    @property
    def config(self) -> Config:
        """The configuration in use."""
        return self.reloader.config

    def of_label(self, name: str) -> dict[str, float]:
        """A counter or gauge by its first label."""
        found: dict[str, float] = {}
        for labels, value in self.metrics.values(name).items():
            found[labels[0]] = found.get(labels[0], 0.0) + value
        return found

    def sample(self) -> Sample:
        """The totals of this moment."""
        depth, now_ms = self.outbox.depth(), self.now_ms()
        deliveries = self.metrics.values("deliveries_total")
        again = sum(count for labels, count in deliveries.items() if labels[2] in LATER)
        undone = again + sum(count for labels, count in deliveries.items() if labels[2] == "dead")
        return Sample(
            now_ms,
            self.of_label("source_messages_received_total"),
            self.of_label("messages_matched_total"),
            sum(deliveries.values()) - undone,
            again,
            sum(self.metrics.values("dead_letters_total").values()),
            depth.ready + depth.later,
            age_seconds(depth.oldest_ms, now_ms) or 0.0,
        )


def age_seconds(since_ms: int, now_ms: int) -> float | None:
    """None where nothing has begun."""
    return round(max(now_ms - since_ms, 0) / 1000, 1) if since_ms else None
