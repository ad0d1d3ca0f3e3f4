"""What prometheus_client has not: histograms fed in bulk, gauges that are read when somebody scrapes."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily

from bridge.metrics.table import QUOTA_GAUGES, ROWS, SOURCE_GAUGES, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family


Labelled = dict[tuple[str, str, str], int]


class Histogram:
    """A histogram that takes many observations at once: one addition per bucket instead of one per observation."""

    def __init__(self, row: Metric, registry: CollectorRegistry) -> None:
        self._row = row
        self._bounds = row.buckets
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        registry.register(self)

    def declare(self, *labels: str) -> None:
        """Let the series exist from the start."""
        self._counts.setdefault(labels, [0] * (len(self._bounds) + 1))
        self._sums.setdefault(labels, 0.0)

    def observe(self, values: Sequence[float], *labels: str) -> None:
        """Count all values; the cost above the bisections is one addition per bucket that was hit."""
        self.declare(*labels)
        counts, bounds = self._counts[labels], self._bounds
        for bucket, number in Tally([bisect_left(bounds, value) for value in values]).items():
            counts[bucket] += number
        self._sums[labels] += sum(values)

    def collect(self) -> Iterator[Family]:
        """The state as a scrape sees it."""
        family = HistogramMetricFamily(self._row.name, self._row.meaning, labels=self._row.labels)
        names = [*map(str, self._bounds), "+Inf"]
        for labels, counts in self._counts.items():
            buckets = [(name, float(count)) for name, count in zip(names, accumulate(counts), strict=True)]
            family.add_metric(labels, buckets, self._sums[labels])
        yield family


class Watch:
    """Gauges that are read when somebody scrapes, so that nobody has to keep them current."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sources: dict[str, Callable[[], Mapping[str, float]]] = {}
        self.outbox: Callable[[], tuple[int, ...]] | None = None
        self.quotas: dict[str, Callable[[], tuple[float, float, float] | None]] = {}
        self.pauses: Callable[[], Iterable[tuple[str, str, str]]] = tuple
        registry.register(self)

    def collect(self) -> Iterator[Family]:
        """Read everything that is watched."""
        if self.outbox is not None:
            yield from self._outbox(*self.outbox())
        readings = {name: read() for name, read in self.sources.items()}
        for key, row in SOURCE_GAUGES.items():
            yield gauge(row, {(source,): read[key] for source, read in readings.items() if key in read})
        quotas = {target: known for target, read in self.quotas.items() if (known := read()) is not None}
        for place, row in enumerate(QUOTA_GAUGES):
            yield gauge(row, {(target,): known[place] for target, known in quotas.items()})
        yield gauge(ROWS["paused"], dict.fromkeys(self.pauses(), 1))

    @staticmethod
    def _outbox(  # noqa: PLR0913, PLR0917  the fields of a Depth
        ready: int, later: int, dead: int, oldest_ms: int, parked: int = 0, oldest_parked_ms: int = 0, blocked: int = 0
    ) -> Iterator[Family]:
        yield gauge(ROWS["outbox_entries"], {("ready",): ready, ("later",): later - parked, ("parked",): parked})
        yield gauge(ROWS["dead_letter_entries"], {(): dead})
        yield gauge(ROWS["blocked_lanes"], {(): blocked})
        if oldest_parked_ms:
            yield gauge(ROWS["parked_oldest_timestamp_seconds"], {(): oldest_parked_ms / 1000})
        if oldest_ms:  # an age computed from 0 would be half a century
            yield gauge(ROWS["outbox_oldest_timestamp_seconds"], {(): oldest_ms / 1000})


def gauge(row: Metric, values: Mapping[tuple[str], float] | Mapping[tuple[()], float] | Labelled) -> GaugeMetricFamily:
    """A family from its values by labels."""
    family = GaugeMetricFamily(row.name, row.meaning, labels=row.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
