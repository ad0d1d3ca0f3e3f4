from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from bridge.metrics import OUTCOMES, PREFIX, RELOADS, SOURCE_COUNTERS, TABLE, Behind, FileReading, Metrics, Reading
from bridge.metrics.watch import OTHERS, PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(PREFIX + name, labels)


READING = Reading(2, {"shop/0": Behind(42, 7.5)}, dict.fromkeys(SOURCE_COUNTERS, 1))


def everything(metrics: Metrics) -> None:
    """Report through every method once."""
    metrics.declare(["orders"], [("created", "create"), ("ignored", "")])
    metrics.generation(1, "abc")
    metrics.config_read("started", 7_500)
    metrics.received("orders", 3, 900)
    metrics.routed("orders", {"created": 2}, 1, {"test message": 1}, {"created": 1})
    metrics.shadowed("orders", 3, 1, {("created", "create", "workflow"): 1})
    metrics.shadow_failed("orders")
    metrics.dead_lettered({("created", "render_error"): 1})
    metrics.dead_letter_capacity(1_000)
    metrics.dead_letters_seen_to("copied", 1)
    metrics.dead_letters_seen_to("expired", 1)
    metrics.connected("orders", up=True)
    metrics.reconnected("orders")
    metrics.rebuilt("orders")
    metrics.waiting("orders", on=True)
    metrics.registry_failed("orders", "connect")
    metrics.unacknowledged("orders", 3)
    metrics.delivered({("created", "create", "delivered"): 2})
    metrics.called("create", "ok", 0.2)
    metrics.batch(2, 2)
    metrics.throttled([("main", "budget")], 0.5)
    metrics.creations_refused("main", "fulfil-order")
    metrics.end_to_end("create", [0.1, 0.2])
    metrics.watch.outbox(lambda: (4, 7, 6, 7_500, 2, 8_500, 1))
    metrics.watch.quota("main", lambda: (1200.0, 900.0, 30.0))
    metrics.watch.pauses(lambda: [("main", "fulfil-order", "", "workflow_missing")])
    metrics.watch.useful(lambda: 1.5)
    metrics.errored({"created": 2})
    metrics.watch.outbox_file(lambda: FileReading(10, 20, 1, {"orders": 2}))
    metrics.outbox_wrote(0.01)
    metrics.watch.operators(lambda: [("rule", "created")])
    metrics.watch.source("orders", lambda: READING)
    metrics.translated("orders", 0.01)
    metrics.held_up("orders", on=True)
    metrics.retried({("create", "timeout"): 1})
    metrics.done("main", "create", [1.0, 3.0], 9_500)


def test_every_row_of_the_table_is_scraped_and_nothing_else(metrics: Metrics) -> None:
    """The table is complete: name, type and labels are what a scrape gives."""
    everything(metrics)
    scraped = {}
    text = generate_openmetrics(metrics.registry).decode()  # type: ignore[no-untyped-call]
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        suffix = "_total" if family.type == "counter" else ""
        for sample in family.samples:
            scraped[family.name + suffix] = (family.type, frozenset(sample.labels) - {"le"}, family.documentation)
    assert scraped == {row.name: (row.type, frozenset(row.labels), row.meaning) for row in TABLE}


def test_names_follow_the_conventions_of_prometheus() -> None:
    """Prefix, suffix and unit of every name agree with its type."""
    for row in TABLE:
        assert row.name.startswith(PREFIX)
        assert row.name.endswith("_total") == (row.type == "counter")
        assert row.name.removesuffix("_total").endswith("_seconds") == (row.unit in {"seconds", "Unix time"})
        assert bool(row.buckets) == (row.type == "histogram")
        assert row.meaning
        assert row.unit
    assert len({row.name for row in TABLE}) == len(TABLE)


def test_what_is_reported_is_what_is_scraped(metrics: Metrics) -> None:
    """Counts go to the series of their own labels."""
    everything(metrics)
    assert value(metrics, "source_messages_received_total", source="orders") == 3
    assert value(metrics, "source_received_bytes_total", source="orders") == 900
    assert value(metrics, "messages_matched_total", rule="created") == 2
    assert value(metrics, "messages_unmatched_total", source="orders") == 1
    assert value(metrics, "messages_dropped_total", source="orders", reason="test message") == 1
    assert value(metrics, "rule_errors_total", rule="created") == 1
    assert value(metrics, "dead_letters_total", rule="created", reason="render_error") == 1
    assert value(metrics, "deliveries_total", rule="created", operation="create", outcome="delivered") == 2
    assert value(metrics, "outbox_entries", state="ready") == 4
    assert value(metrics, "outbox_entries", state="later") == 5
    assert value(metrics, "outbox_entries", state="parked") == 2
    assert value(metrics, "parked_oldest_timestamp_seconds") == 8.5
    assert value(metrics, "blocked_lanes") == 1
    assert value(metrics, "dead_letter_entries") == 6
    assert value(metrics, "outbox_oldest_timestamp_seconds") == 7.5
    assert value(metrics, "source_connected", source="orders") == 1
    assert value(metrics, "batch_size_calls_sum") == 2


def test_a_histogram_has_the_last_example_of_each_bucket(metrics: Metrics) -> None:
    """In OpenMetrics alone, beside the bucket that counts it; what is counted is not changed by it."""
    metrics.end_to_end("event", [0.003, 0.004, 2.0])
    for value_, trace in ((0.003, "a"), (0.004, "b"), (2.0, "c")):
        metrics.exemplify("end_to_end_duration_seconds", value_, {"trace_id": trace}, 1_700_000_000.5, "event")
    text = generate_openmetrics(metrics.registry).decode()  # type: ignore[no-untyped-call]
    bucket = PREFIX + 'end_to_end_duration_seconds_bucket{le="%s",operation="event"}'
    assert [line for line in text.splitlines() if " # {" in line] == [
        bucket % "0.005" + ' 2.0 # {trace_id="b"} 0.004 1700000000.5',
        bucket % "2.5" + ' 3.0 # {trace_id="c"} 2.0 1700000000.5',
    ]
    assert "trace_id" not in generate_latest(metrics.registry).decode()
    assert value(metrics, "end_to_end_duration_seconds_count", operation="event") == 3


def test_known_series_start_at_zero(metrics: Metrics) -> None:
    """Before the first message a rate over any known series is 0, not absent."""
    metrics.declare(["orders"], [("created", "create"), ("ignored", "")])
    assert value(metrics, "source_messages_received_total", source="orders") == 0
    assert value(metrics, "messages_unmatched_total", source="orders") == 0
    assert value(metrics, "source_connected", source="orders") == 0
    assert value(metrics, "messages_matched_total", rule="ignored") == 0
    assert value(metrics, "rule_errors_total", rule="created") == 0
    for outcome in OUTCOMES:
        assert value(metrics, "deliveries_total", rule="created", operation="create", outcome=outcome) == 0
        assert value(metrics, "deliveries_total", rule="ignored", operation="", outcome=outcome) is None
    assert value(metrics, "end_to_end_duration_seconds_count", operation="event") == 0


def test_declaring_again_keeps_the_counts(metrics: Metrics) -> None:
    """A reload declares its rules anew and resets nothing."""
    everything(metrics)
    metrics.declare(["orders"], [("created", "create")])
    assert value(metrics, "messages_matched_total", rule="created") == 2
    assert value(metrics, "batch_size_calls_count") == 1
    assert value(metrics, "end_to_end_duration_seconds_count", operation="create") == 2


def test_an_empty_outbox_has_no_oldest_entry(metrics: Metrics) -> None:
    """The age computed from the oldest timestamp is absent, not fifty years, when nothing waits."""
    metrics.watch.outbox(lambda: (0, 0, 0, 0))
    assert value(metrics, "outbox_oldest_timestamp_seconds") is None
    assert value(metrics, "outbox_entries", state="ready") == 0


def test_watched_numbers_are_read_at_the_scrape(metrics: Metrics) -> None:
    """A watched number is current without anybody keeping it so."""
    behind = {"shop/0": Behind(1, 0.5)}
    metrics.watch.source("orders", lambda: Reading(1, behind, {"commits": 3}))
    behind["shop/0"] = Behind(42, 7.5)
    where = {"source": "orders", "partition": "shop/0"}
    assert value(metrics, "source_lag_messages", **where) == 42
    assert value(metrics, "source_lag_seconds", **where) == 7.5
    assert value(metrics, "source_commits_total", source="orders") == 3
    assert value(metrics, "source_rebalances_total", source="orders") is None


def test_a_topic_of_many_partitions_does_not_make_many_series(metrics: Metrics) -> None:
    """Those that are furthest behind are named; the rest is one sum, so that the total is right."""
    behind = {f"shop/{number}": Behind(number, float(number)) for number in range(PARTITIONS + 50)}
    metrics.watch.source("orders", lambda: Reading(len(behind), behind, {}))
    assert value(metrics, "source_lag_messages", source="orders", partition="shop/149") == 149
    assert value(metrics, "source_lag_messages", source="orders", partition="shop/49") is None
    assert value(metrics, "source_lag_messages", source="orders", partition=OTHERS) == sum(range(50))
    assert value(metrics, "source_lag_seconds", source="orders", partition=OTHERS) == 49


def test_a_source_cannot_count_what_the_table_does_not_know(metrics: Metrics) -> None:
    """An unknown number is refused when the source is registered, not at three in the morning by a scrape."""
    with pytest.raises(ValueError, match=r"source orders counts comits; known: .*commits"):
        metrics.watch.source("orders", lambda: Reading(1, {}, {"comits": 1}))


def test_one_configuration_is_current(metrics: Metrics) -> None:
    """After a reload only the new hash is shown."""
    metrics.generation(1, "old")
    metrics.generation(2, "new")
    assert value(metrics, "config_info", hash="old") is None
    assert value(metrics, "config_info", hash="new") == 1
    assert value(metrics, "config_generation") == 2


def test_a_failed_reload_is_seen_until_the_next_that_succeeds(metrics: Metrics) -> None:
    """The time is that of the last success, and each outcome is counted, from 0."""
    metrics.config_read("started", 1_000)
    assert [value(metrics, "config_reloads_total", outcome=word) for word in RELOADS] == [0, 0, 0]
    metrics.config_read("failed", 2_000)
    assert value(metrics, "config_last_reload_successful") == 0
    assert value(metrics, "config_last_reload_success_timestamp_seconds") == 1
    metrics.config_read("unchanged", 3_000)
    assert value(metrics, "config_last_reload_successful") == 1
    assert value(metrics, "config_last_reload_success_timestamp_seconds") == 3
    assert [value(metrics, "config_reloads_total", outcome=word) for word in RELOADS] == [0, 1, 1]


def test_a_source_that_is_gone_reports_no_state(metrics: Metrics) -> None:
    """Its gauges go; what it has counted stays, since a counter that vanishes looks like a restart."""
    metrics.declare(["orders"])
    metrics.received("orders", 3, 900)
    metrics.watch.source("orders", lambda: Reading(2, {}, {}))
    metrics.forget_source("orders")
    assert value(metrics, "source_connected", source="orders") is None
    assert value(metrics, "source_partitions", source="orders") is None
    assert value(metrics, "source_messages_received_total", source="orders") == 3


def test_no_creation_timestamps_are_exported(metrics: Metrics) -> None:
    """The scrape is not doubled by a ``_created`` series for each series."""
    everything(metrics)
    assert b"_created " not in generate_latest(metrics.registry)


def test_the_default_registry_tells_of_the_process() -> None:
    """Memory, CPU and garbage collection are there without asking."""
    text = generate_latest(Metrics().registry).decode()
    assert "process_resident_memory_bytes" in text
    assert "python_gc_collections_total" in text
    assert 'workflow_bridge_build_info{version="' in text


@given(st.lists(st.lists(st.floats(0, 10_000), max_size=50), max_size=5))
def test_a_bulk_observation_equals_its_single_ones(batches: Sequence[Sequence[float]]) -> None:
    """Every bucket holds the values up to and including its bound, however they were reported."""
    metrics = Metrics(CollectorRegistry())
    metrics.declare()
    for batch in batches:
        metrics.end_to_end("create", batch)
    values = [seconds for batch in batches for seconds in batch]
    bounds = next(row.buckets for row in TABLE if row.name.endswith("end_to_end_duration_seconds"))
    counts = [sum(bisect_left(bounds, seconds) == bucket for seconds in values) for bucket in range(len(bounds))]
    for bound, expected in zip(bounds, accumulate(counts), strict=True):
        assert expected == sum(seconds <= bound for seconds in values)
        assert value(metrics, "end_to_end_duration_seconds_bucket", operation="create", le=str(bound)) == expected
    assert value(metrics, "end_to_end_duration_seconds_bucket", operation="create", le="+Inf") == len(values)
    total = value(metrics, "end_to_end_duration_seconds_sum", operation="create")
    assert total == pytest.approx(sum(values))


def test_values_are_what_a_scrape_would_see(metrics: Metrics) -> None:
    """They are read past the library's own way, for the page that looks every second."""
    everything(metrics)
    rows = [row for row in TABLE if row.labels and row.type != "histogram"]
    names = {row.name.removeprefix(PREFIX) for row in rows} & {*metrics._counters, *metrics._gauges}
    assert len(names) > 20
    for row in rows:
        name = row.name.removeprefix(PREFIX)
        if name in names:
            seen = metrics.values(name)
            assert seen == {
                labels: value(metrics, name, **dict(zip(row.labels, labels, strict=True))) for labels in seen
            }, name
            assert seen, name
