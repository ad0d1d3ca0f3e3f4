"""Metrics that are read when somebody scrapes, so that nobody has to keep them current."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from bridge.metrics.table import QUOTA_GAUGES, ROWS, SOURCE_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

    from bridge.metrics.table import Metric

    Values = Mapping[tuple[str, ...], float]

PARTITIONS = 100  # of one source have series of their own: those that are furthest behind
OTHERS = "other"  # all the rest


class Behind(NamedTuple):
    """How far one partition is read."""

    messages: int  # at the broker, not received yet
    seconds: float  # age of the last one received, where there are more; else 0


class Reading(NamedTuple):
    """What one source is like now."""

    partitions: int
    behind: Mapping[str, Behind]  # by partition; empty where the broker does not tell
    counts: Mapping[str, int]  # some of the keys of SOURCE_COUNTERS


class FileReading(NamedTuple):
    """What the outbox file is like now."""

    size_bytes: int  # with SQLite's log
    capacity_bytes: int  # of what is in use; 0: no bound
    write_errors: int  # transactions that failed, and were tried again or given up
    duplicates: Mapping[str, int]  # by source: messages that came again and were left out


class Watch:
    """Reads what is watched: each ``read`` is called at a scrape, in the main event loop, and must not block."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sources: dict[str, Callable[[], Reading]] = {}
        self._outbox: Callable[[], tuple[int, ...]] | None = None
        self._quotas: dict[str, Callable[[], tuple[float, float, float] | None]] = {}
        self._pauses: Callable[[], Iterable[tuple[str, str, str, str]]] = tuple
        self._useful: Callable[[], float] | None = None
        self._file: Callable[[], FileReading] | None = None
        self._operators: Callable[[], Iterable[tuple[str, str]]] = tuple
        registry.register(self)

    def outbox(self, read: Callable[[], tuple[int, ...]]) -> None:
        """``read`` gives the fields of a ``Depth``."""
        self._outbox = read

    def outbox_file(self, read: Callable[[], FileReading]) -> None:
        """``read`` looks at the file."""
        self._file = read

    def quota(self, target: str, read: Callable[[], tuple[float, float, float] | None]) -> None:
        """``read`` gives limit, remaining, and seconds until the reset; None where no quota is known."""
        self._quotas[target] = read

    def pauses(self, read: Callable[[], Iterable[tuple[str, str, str, str]]]) -> None:
        """``read`` gives target, workflow, operation ("" for all of them) and reason of each pause."""
        self._pauses = read

    def operators(self, read: Callable[[], Iterable[tuple[str, str]]]) -> None:
        """``read`` gives kind and name ("" for all) of what operators have paused."""
        self._operators = read

    def useful(self, read: Callable[[], float]) -> None:
        """``read`` gives the replicas that would have something to do."""
        self._useful = read

    def source(self, name: str, read: Callable[[], Reading]) -> None:
        """Raises ValueError where it counts what is not one of SOURCE_COUNTERS."""
        unknown = sorted(set(read().counts) - set(SOURCE_COUNTERS))
        if unknown:
            raise ValueError(f"source {name} counts {', '.join(unknown)}; known: {', '.join(SOURCE_COUNTERS)}")
        self._sources[name] = read

    def forget_source(self, name: str) -> None:
        """It is not read any more."""
        self._sources.pop(name, None)

    def reading(self, source: str) -> Reading | None:
        """What a source that is read tells of itself now."""
        read = self._sources.get(source)
        return None if read is None else read()

    def collect(self) -> Iterator[Family]:
        """Read everything."""
        if self._outbox is not None:
            yield from _outbox(*self._outbox())
        yield from _sources({name: read() for name, read in self._sources.items()})
        quotas = {target: known for target, read in self._quotas.items() if (known := read()) is not None}
        for place, row in enumerate(QUOTA_GAUGES):
            yield _family(row, {(target,): known[place] for target, known in quotas.items()})
        yield _family(ROWS["paused"], dict.fromkeys(self._pauses(), 1))
        if self._useful is not None:
            yield _family(ROWS["useful_replicas"], {(): self._useful()})
        if self._file is not None:
            yield from _file(self._file())
        yield _family(ROWS["operator_paused"], dict.fromkeys(self._operators(), 1))


def _sources(readings: Mapping[str, Reading]) -> Iterator[Family]:
    partitions: Values = {(name,): reading.partitions for name, reading in readings.items()}
    yield _family(ROWS["source_partitions"], partitions)
    behind = {
        (name, partition): how_far
        for name, reading in readings.items()
        for partition, how_far in bounded(reading.behind).items()
    }
    yield _family(ROWS["source_lag_messages"], {labels: how_far.messages for labels, how_far in behind.items()})
    yield _family(ROWS["source_lag_seconds"], {labels: how_far.seconds for labels, how_far in behind.items()})
    for key, row in SOURCE_COUNTERS.items():
        counts: Values = {(name,): reading.counts[key] for name, reading in readings.items() if key in reading.counts}
        yield _family(row, counts)


def bounded(behind: Mapping[str, Behind]) -> Mapping[str, Behind]:
    """The PARTITIONS that are furthest behind, and one line for the sum of all others."""
    if len(behind) <= PARTITIONS:
        return behind
    ranked = sorted(behind.items(), key=lambda item: (-item[1].messages, item[0]))
    rest = [how_far for _, how_far in ranked[PARTITIONS:]]
    others = Behind(sum(one.messages for one in rest), max(one.seconds for one in rest))
    return {**dict(ranked[:PARTITIONS]), OTHERS: others}


def _outbox(  # noqa: PLR0913, PLR0917  the fields of a Depth
    ready: int,
    later: int,
    dead: int,
    oldest_ms: int,
    parked: int = 0,
    oldest_parked_ms: int = 0,
    blocked: int = 0,
    dead_bytes: int = 0,
) -> Iterator[Family]:
    yield _family(ROWS["outbox_entries"], {("ready",): ready, ("later",): later - parked, ("parked",): parked})
    yield _family(ROWS["dead_letter_entries"], {(): dead})
    yield _family(ROWS["dead_letter_bytes"], {(): dead_bytes})
    yield _family(ROWS["blocked_lanes"], {(): blocked})
    if oldest_parked_ms:
        yield _family(ROWS["parked_oldest_timestamp_seconds"], {(): oldest_parked_ms / 1000})
    if oldest_ms:  # an age computed from 0 would be half a century
        yield _family(ROWS["outbox_oldest_timestamp_seconds"], {(): oldest_ms / 1000})


def _file(reading: FileReading) -> Iterator[Family]:
    yield _family(ROWS["outbox_bytes"], {(): reading.size_bytes})
    yield _family(ROWS["outbox_capacity_bytes"], {(): reading.capacity_bytes})
    yield _family(ROWS["outbox_write_errors_total"], {(): reading.write_errors})
    yield _family(
        ROWS["duplicates_suppressed_total"], {(source,): count for source, count in reading.duplicates.items()}
    )


def _family(row: Metric, values: Values) -> Family:
    """A family from its values by labels."""
    kind = CounterMetricFamily if row.type == "counter" else GaugeMetricFamily
    family = kind(row.name, row.meaning, labels=row.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
