"""Every metric of the bridge, in one table; what the numbers mean is written there and nowhere else.

Methods take what one batch or one request brought, never one message: a counter costs the same for 1 and for 500.
Label values are names of the configuration or codes from a fixed list, never ids.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily

from bridge import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric as Family

PREFIX = "workflow_bridge_"

_BUCKETS = {
    # OpenTelemetry's bounds for HTTP and one more; below, also what retries, parking and a quota block take.
    "request_duration_seconds": (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0),
    "end_to_end_duration_seconds": (
        *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0),
    ),
    "batch_size_calls": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 80.0, 99.0, 100.0),
}

OUTCOMES = ("delivered", "exists", "dropped", "retry", "park", "dead")
OPERATIONS = ("create", "event", "status")


class Metric(NamedTuple):
    """One row of the table: what a metric is called and what it says."""

    name: str  # as it is scraped, with prefix and suffix
    type: str  # counter, gauge, histogram
    labels: tuple[str, ...]
    unit: str
    meaning: str
    buckets: tuple[float, ...] = ()


def _row(name: str, kind: str, labels: str, unit: str, meaning: str) -> Metric:
    return Metric(PREFIX + name, kind, tuple(labels.split()), unit, meaning, _BUCKETS.get(name, ()))


TABLE: tuple[Metric, ...] = (
    _row("build_info", "gauge", "version", "1", "Always 1; which version is running"),
    _row("config_info", "gauge", "hash", "1", "Always 1; a hash of the configuration in use, without its secrets"),
    # intake
    _row("source_messages_received_total", "counter", "source", "messages", "Messages that the broker gave"),
    _row("source_received_bytes_total", "counter", "source", "bytes", "Size of the bodies of these messages"),
    _row("source_connected", "gauge", "source", "0 or 1", "Whether the source has its broker"),
    _row("source_reconnects_total", "counter", "source", "reconnects", "How often the source was opened again"),
    _row("source_unacknowledged_messages", "gauge", "source", "messages", "Received, and not yet acknowledged"),
    _row("source_partitions", "gauge", "source", "partitions", "Partitions or queues that this process reads"),
    _row("source_lag_messages", "gauge", "source", "messages", "At the broker, not yet fetched; its own partitions"),
    _row("messages_matched_total", "counter", "rule", "messages", "Messages for which the rule fired"),
    _row("messages_unmatched_total", "counter", "source", "messages", "Messages that no rule matched"),
    _row(
        "messages_dropped_total",
        "counter",
        "source reason",
        "messages",
        "Messages dropped on purpose: by a rule, or as too old",
    ),
    _row("rule_errors_total", "counter", "rule", "messages", "Messages on which an expression of the rule failed"),
    # outbox
    _row("outbox_entries", "gauge", "state", "calls", "Calls waiting: ready now, or later (retry, delay, parked)"),
    _row("outbox_oldest_timestamp_seconds", "gauge", "", "Unix time", "Arrival of the oldest waiting call; or absent"),
    _row("dead_letter_entries", "gauge", "", "dead letters", "Dead letters kept, waiting for somebody"),
    _row("dead_letters_total", "counter", "rule reason", "dead letters", "Messages or calls that became dead letters"),
    # dispatch
    _row("deliveries_total", "counter", "rule operation outcome", "calls", "What became of a call after an attempt"),
    _row("request_duration_seconds", "histogram", "operation outcome", "seconds", "One HTTP request to the API"),
    _row("batch_size_calls", "histogram", "", "calls", "Creates that one request carried"),
    _row("end_to_end_duration_seconds", "histogram", "operation", "seconds", "From the message's time to delivered"),
)

_ROWS = {row.name.removeprefix(PREFIX): row for row in TABLE}
# What ``watch_source`` may report, by the name it reports it under.
SOURCE_GAUGES = {name: _ROWS[f"source_{name}"] for name in ("partitions", "lag_messages")}


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
        self.outbox: Callable[[], tuple[int, int, int, int]] | None = None
        registry.register(self)

    def collect(self) -> Iterator[Family]:
        """Read everything that is watched."""
        if self.outbox is not None:
            yield from self._outbox(*self.outbox())
        readings = {name: read() for name, read in self.sources.items()}
        for key, row in SOURCE_GAUGES.items():
            yield _gauge(row, {(source,): read[key] for source, read in readings.items() if key in read})

    @staticmethod
    def _outbox(ready: int, later: int, dead: int, oldest_ms: int) -> Iterator[Family]:
        yield _gauge(_ROWS["outbox_entries"], {("ready",): ready, ("later",): later})
        yield _gauge(_ROWS["dead_letter_entries"], {(): dead})
        if oldest_ms:  # an age computed from 0 would be half a century
            yield _gauge(_ROWS["outbox_oldest_timestamp_seconds"], {(): oldest_ms / 1000})


def _gauge(row: Metric, values: Mapping[tuple[str], float] | Mapping[tuple[()], float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(row.name, row.meaning, labels=row.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


class Metrics:
    """What the parts of the bridge report to. Not for use from several threads."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # half of all series, and nobody asks for them
        self.registry = registry or _process_registry()
        self._watch = Watch(self.registry)
        watched = {"outbox_entries", "outbox_oldest_timestamp_seconds", "dead_letter_entries"}
        watched.update(row.name.removeprefix(PREFIX) for row in SOURCE_GAUGES.values())
        rows = {name: row for name, row in _ROWS.items() if name not in watched}
        self._counters = {name: self._counter(row) for name, row in rows.items() if row.type == "counter"}
        self._gauges = {
            name: Gauge(row.name, row.meaning, row.labels, registry=self.registry)
            for name, row in rows.items()
            if row.type == "gauge"
        }
        self._histograms = {
            name: Histogram(row, self.registry) for name, row in rows.items() if row.type == "histogram"
        }
        self._gauges["build_info"].labels(__version__).set(1)

    def _counter(self, row: Metric) -> Counter:
        return Counter(row.name, row.meaning, row.labels, registry=self.registry)

    def _add(self, name: str, amount: float, *labels: str) -> None:
        self._counters[name].labels(*labels).inc(amount)

    def declare(self, sources: Iterable[str] = (), rules: Iterable[tuple[str, str]] = ()) -> None:
        """Start the known series at 0, so that nothing is missing before its first use.

        rules: name and operation of each; "" as operation for rules that make no call.
        """
        per_source = [name for name, row in _ROWS.items() if row.labels == ("source",) and name in self._counters]
        for source in sources:
            for name in per_source:
                self._add(name, 0, source)
            self.connected(source, up=False)
            self.unacknowledged(source, 0)
        for rule, operation in rules:
            self._add("messages_matched_total", 0, rule)
            self._add("rule_errors_total", 0, rule)
            for outcome in OUTCOMES if operation else ():
                self._add("deliveries_total", 0, rule, operation, outcome)
        self._histograms["batch_size_calls"].declare()
        for operation in OPERATIONS:
            self._histograms["end_to_end_duration_seconds"].declare(operation)

    def config_loaded(self, digest: str) -> None:
        """A configuration is in use from now on; ``digest`` names it and holds no secret."""
        self._gauges["config_info"].clear()
        self._gauges["config_info"].labels(digest).set(1)

    # -- intake --

    def received(self, source: str, messages: int, size_bytes: int) -> None:
        """One fetch; ``size_bytes`` is the size of its bodies."""
        self._add("source_messages_received_total", messages, source)
        self._add("source_received_bytes_total", size_bytes, source)

    def routed(
        self,
        source: str,
        matched: Mapping[str, int],
        unmatched: int,
        dropped: Mapping[str, int],
        errors: Mapping[str, int],
    ) -> None:
        """What the rules made of one fetch: matched and errors by rule, dropped by reason."""
        for rule, count in matched.items():
            self._add("messages_matched_total", count, rule)
        if unmatched:
            self._add("messages_unmatched_total", unmatched, source)
        for reason, count in dropped.items():
            self._add("messages_dropped_total", count, source, reason)
        for rule, count in errors.items():
            self._add("rule_errors_total", count, rule)

    def dead_lettered(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Dead letters by rule ("" where none was involved) and reason."""
        for labels, count in counts.items():
            self._add("dead_letters_total", count, *labels)

    def connected(self, source: str, up: bool) -> None:  # noqa: FBT001  the state itself is what is told
        """The source has, or has lost, its broker."""
        self._gauges["source_connected"].labels(source).set(up)

    def reconnected(self, source: str) -> None:
        """The source was opened again."""
        self._add("source_reconnects_total", 1, source)

    def unacknowledged(self, source: str, count: int) -> None:
        """Messages that were received and wait for their receipt, as of now."""
        self._gauges["source_unacknowledged_messages"].labels(source).set(count)

    # -- dispatch --

    def delivered(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """Settlements by rule, operation and outcome (a Verdict)."""
        for labels, count in counts.items():
            self._add("deliveries_total", count, *labels)

    def called(self, operation: str, outcome: str, seconds: float) -> None:
        """One HTTP request; ``outcome`` is "ok", the Meaning of a refusal, or the reason of an ApiUnknown."""
        self._histograms["request_duration_seconds"].observe((seconds,), operation, outcome)

    def batch(self, size: int) -> None:
        """One request that created ``size`` instances, or tried to."""
        self._histograms["batch_size_calls"].observe((float(size),))

    def end_to_end(self, operation: str, seconds: Sequence[float]) -> None:
        """Delivered calls: how long each took from the timestamp of its message."""
        self._histograms["end_to_end_duration_seconds"].observe(seconds, operation)

    # -- read when scraped --

    def watch_outbox(self, read: Callable[[], tuple[int, int, int, int]]) -> None:
        """``read`` gives (ready, later, dead, oldest_ms), the fields of a ``Depth``; it must not block."""
        self._watch.outbox = read

    def watch_source(self, name: str, read: Callable[[], Mapping[str, float]]) -> None:
        """``read`` gives some of SOURCE_GAUGES; it must not block. Raises ValueError for any other name."""
        unknown = sorted(set(read()) - set(SOURCE_GAUGES))
        if unknown:
            raise ValueError(f"source {name} reports {', '.join(unknown)}; known: {', '.join(SOURCE_GAUGES)}")
        self._watch.sources[name] = read


def _process_registry() -> CollectorRegistry:
    """A registry of its own with CPU, memory, descriptors and garbage collection of this process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
