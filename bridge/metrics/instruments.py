"""What prometheus_client has not: histograms that are fed in bulk."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.samples import Exemplar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

    from bridge.metrics.table import Metric


class Histogram:
    """A histogram that takes many observations at once: one addition per bucket instead of one per observation."""

    def __init__(self, row: Metric, registry: CollectorRegistry) -> None:
        self._row = row
        self._bounds = row.buckets
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        self._examples: dict[tuple[str, ...], dict[int, Exemplar]] = {}  # by bucket, the last one of each
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

    def exemplify(self, value: float, trace: Mapping[str, str], at_seconds: float, *labels: str) -> None:
        """An observation, counted otherwise, that belongs to a trace. at_seconds: Unix time.

        trace: labels of the exemplar, 128 characters in all at most. OpenMetrics alone has a place for it.
        """
        example = Exemplar(dict(trace), value, at_seconds)
        self._examples.setdefault(labels, {})[bisect_left(self._bounds, value)] = example

    def collect(self) -> Iterator[Family]:
        """The state as a scrape sees it."""
        family = HistogramMetricFamily(self._row.name, self._row.meaning, labels=self._row.labels)
        names = [*map(str, self._bounds), "+Inf"]
        for labels, counts in self._counts.items():
            examples = self._examples.get(labels, {})
            buckets = [
                (name, float(count), examples.get(place))
                for place, (name, count) in enumerate(zip(names, accumulate(counts), strict=True))
            ]
            family.add_metric(labels, buckets, self._sums[labels])  # type: ignore[arg-type]  # None: no exemplar
        yield family
