"""What the parts of the bridge report to.

Methods take what one batch or one request brought, never one message: a counter costs the same for 1 and for 500.
Label values are names of the configuration or codes from a fixed list, never ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    ProcessCollector,
    disable_created_metrics,
)

from bridge import __version__
from bridge.metrics.instruments import Histogram
from bridge.metrics.table import OPERATIONS, OUTCOMES, RELOADS, ROWS, WATCHED, Metric
from bridge.metrics.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Metrics:
    """What the parts of the bridge report to. Not for use from several threads."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # half of all series, and nobody asks for them
        self.registry = registry or _process_registry()
        self.watch = Watch(self.registry)
        rows = {name: row for name, row in ROWS.items() if name not in WATCHED}
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
        per_source = [name for name, row in ROWS.items() if row.labels == ("source",) and name in self._counters]
        for source in sources:
            for name in per_source:
                self._add(name, 0, source)
            self._add("source_rebuilds_total", 0, source, "no_progress")
            self.connected(source, up=False)
            self.unacknowledged(source, 0)
            self.waiting(source, on=False)
            self.held_up(source, on=False)
            self.source_paused(source, on=False)
            self._histograms["source_batch_duration_seconds"].declare(source)
        for rule, operation in rules:
            self._add("messages_matched_total", 0, rule)
            self._add("rule_errors_total", 0, rule)
            for outcome in OUTCOMES if operation else ():
                self._add("deliveries_total", 0, rule, operation, outcome)
        self._histograms["batch_size_calls"].declare()
        self._histograms["event_loop_lag_seconds"].declare()
        self._histograms["outbox_write_duration_seconds"].declare()
        for operation in OPERATIONS:
            self._histograms["end_to_end_duration_seconds"].declare(operation)
            self._histograms["delivery_attempts"].declare(operation)
        for operation in (*OPERATIONS, "get"):
            self._histograms["request_duration_seconds"].declare(operation, "ok")

    def values(self, name: str) -> Mapping[tuple[str, ...], float]:
        """A counter or gauge of the table that has labels as it is now, by these; ``name`` without the prefix.

        Not by ``collect``, which makes an object of each series: ten times the cost, for who asks every second.
        """
        series: Mapping[Sequence[str], Any] = (self._counters.get(name) or self._gauges[name])._metrics  # noqa: SLF001
        return {tuple(labels): one._value.get() for labels, one in series.items()}  # noqa: SLF001

    def exemplify(self, name: str, value: float, trace: Mapping[str, str], at_seconds: float, *labels: str) -> None:
        """Of a histogram of the table, ``name`` without the prefix: an observation, and the trace it belongs to."""
        self._histograms[name].exemplify(value, trace, at_seconds, *labels)

    # -- configuration --

    def generation(self, number: int, digest: str) -> None:
        """A configuration is in use from now on; ``digest`` names it and holds no secret."""
        self._gauges["config_info"].clear()
        self._gauges["config_info"].labels(digest).set(1)
        self._gauges["config_generation"].set(number)

    def config_read(self, outcome: str, now_ms: int) -> None:
        """The files were read, with one of RELOADS, or "started" at the start: all but "failed" are in use now."""
        successful = outcome != "failed"
        self._gauges["config_last_reload_successful"].set(successful)
        if successful:
            self._gauges["config_last_reload_success_timestamp_seconds"].set(now_ms / 1000)
        for known in RELOADS:
            self._add("config_reloads_total", known == outcome, known)

    # -- the process --

    def loop_lagged(self, seconds: float) -> None:
        """The event loop got so much later to what was due than it should."""
        self._histograms["event_loop_lag_seconds"].observe((seconds,))

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

    def shadowed(
        self, source: str, messages: int, differing: int, differences: Mapping[tuple[str, str, str], int]
    ) -> None:
        """What the shadow rules made of one fetch; differences by rule, operation and what differs."""
        self._add("shadow_messages_total", messages, source)
        self._add("shadow_differing_total", differing, source)
        for labels, count in differences.items():
            self._add("shadow_differences_total", count, *labels)

    def shadow_failed(self, source: str) -> None:
        """The shadow rules could not be asked about a fetch."""
        self._add("shadow_failures_total", 1, source)

    def dead_lettered(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Dead letters by rule ("" where none was involved) and reason."""
        for labels, count in counts.items():
            self._add("dead_letters_total", count, *labels)

    def dead_letter_capacity(self, size_bytes: int) -> None:
        """So many bytes of dead letters are kept at most; 0: as many as there are."""
        if size_bytes:
            self._gauges["dead_letter_capacity_bytes"].set(size_bytes)

    def dead_letters_seen_to(self, how: str, count: int) -> None:
        """So many were "copied" to dead_letters.to, were "cut" there, or have "expired" by dead_letters.keep."""
        self._counters[f"dead_letters_{how}_total"].inc(count)

    def connected(self, source: str, up: bool) -> None:  # noqa: FBT001  the state itself is what is told
        """The source has, or has lost, its broker."""
        self._gauges["source_connected"].labels(source).set(up)

    def reconnected(self, source: str) -> None:
        """The source was opened again."""
        self._add("source_reconnects_total", 1, source)

    def rebuilt(self, source: str) -> None:
        """The source had messages before it and gave none, so it is made anew."""
        self._add("source_rebuilds_total", 1, source, "no_progress")

    def waiting(self, source: str, on: bool) -> None:  # noqa: FBT001  the state itself is what is told
        """The source waits, or no longer waits, for schemas without which its messages cannot be decoded."""
        self._gauges["source_waiting"].labels(source).set(on)

    def registry_failed(self, source: str, reason: str) -> None:
        """A schema registry did not give what it was asked for; ``reason`` is one of SchemasUnavailable's."""
        self._add("schema_registry_errors_total", 1, source, reason)

    def translated(self, source: str, seconds: float) -> None:
        """One fetch was decoded and routed in so long."""
        self._histograms["source_batch_duration_seconds"].observe((seconds,), source)

    def held_up(self, source: str, on: bool) -> None:  # noqa: FBT001  the state itself is what is told
        """The source waits, or no longer waits, for room in the outbox."""
        self._gauges["source_held_up"].labels(source).set(on)

    def source_paused(self, source: str, on: bool) -> None:  # noqa: FBT001  the state itself is what is told
        """An operator has paused the source, or it goes on."""
        self._gauges["source_paused"].labels(source).set(on)

    def unacknowledged(self, source: str, count: int) -> None:
        """Messages that were received and wait for their receipt, as of now."""
        self._gauges["source_unacknowledged_messages"].labels(source).set(count)

    def forget_source(self, source: str) -> None:
        """The source is not read any more: what it is like now is not reported, what it has done still is."""
        self.watch.forget_source(source)
        for name, gauge in self._gauges.items():
            if ROWS[name].labels == ("source",):
                gauge.remove(source)

    # -- dispatch --

    def delivered(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """Settlements by rule, operation and outcome (a Verdict)."""
        for labels, count in counts.items():
            self._add("deliveries_total", count, *labels)

    def errored(self, counts: Mapping[str, int]) -> None:
        """Instances that ended in an error, by the rule that has made them."""
        for rule, count in counts.items():
            self._add("instances_errored_total", count, rule)

    def retried(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Calls that are tried again later, by operation and why."""
        for labels, count in counts.items():
            self._add("retries_total", count, *labels)

    def done(self, target: str, operation: str, attempts: Sequence[float], now_ms: int) -> None:
        """Calls of one request that the target has carried out, and how many attempts each had taken."""
        self._histograms["delivery_attempts"].observe(attempts, operation)
        self._gauges["last_delivery_timestamp_seconds"].labels(target).set(now_ms / 1000)

    def called(self, operation: str, outcome: str, seconds: float) -> None:
        """One HTTP request; ``outcome`` is "ok", the Meaning of a refusal, or the reason of an ApiUnknown."""
        self._histograms["request_duration_seconds"].observe((seconds,), operation, outcome)

    def batch(self, size: int, made: int = 0) -> None:
        """One request that was to create ``size`` instances; alone, the ``made`` ones had taken one request each."""
        self._histograms["batch_size_calls"].observe((float(size),))
        self._counters["requests_saved_total"].inc(max(made - 1, 0))

    def throttled(self, reasons: Iterable[tuple[str, str]], seconds: float) -> None:
        """So long calls of these targets waited for these reasons: ``budget``, ``block``, ``creations``."""
        for target, reason in reasons:
            self._add("throttled_seconds_total", seconds, target, reason)

    def creations_refused(self, target: str, workflow: str) -> None:
        """The API answered 429, and it was not the quota of requests."""
        self._add("creations_refused_total", 1, target, workflow)

    def end_to_end(self, operation: str, seconds: Sequence[float]) -> None:
        """Delivered calls: how long each took from the timestamp of its message."""
        self._histograms["end_to_end_duration_seconds"].observe(seconds, operation)

    def outbox_wrote(self, seconds: float) -> None:
        """A transaction of the outbox is on disk, after so long."""
        self._histograms["outbox_write_duration_seconds"].observe((seconds,))


def _process_registry() -> CollectorRegistry:
    """A registry of its own with CPU, memory, descriptors and garbage collection of this process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
