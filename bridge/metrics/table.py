"""Every metric of the bridge, in one table; what the numbers mean is written here and nowhere else."""

from __future__ import annotations

from typing import NamedTuple

PREFIX = "workflow_bridge_"

_BUCKETS = {
    # OpenTelemetry's bounds for HTTP and one more; below, also what retries, parking and a quota block take.
    "request_duration_seconds": (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0),
    "end_to_end_duration_seconds": (
        *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0),
    ),
    # A batch of a fetch, some hundred messages; a Protobuf of a megabyte takes longer.
    "source_batch_duration_seconds": (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
    "outbox_write_duration_seconds": (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    "delivery_attempts": (1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0),
    "event_loop_lag_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    "batch_size_calls": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 80.0, 99.0, 100.0),
}

OUTCOMES = ("delivered", "exists", "restarted", "signalled", "renewed", "dropped", "retry", "park", "dead")
RELOADS = ("loaded", "unchanged", "failed")
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
    _row(
        "config_generation", "gauge", "", "1", "Which configuration is in use: 1 at the start, one more by each reload"
    ),
    _row(
        "config_last_reload_successful", "gauge", "", "0 or 1", "Whether what the files said when last read is in use"
    ),
    _row("config_last_reload_success_timestamp_seconds", "gauge", "", "Unix time", "When that was last so"),
    _row(
        "config_reloads_total", "counter", "outcome", "reloads", "The files were read again: loaded, unchanged, failed"
    ),
    _row("event_loop_lag_seconds", "histogram", "", "seconds", "How late the event loop is, looked at twice a second"),
    # intake
    _row("source_messages_received_total", "counter", "source", "messages", "Messages that the broker gave"),
    _row("source_received_bytes_total", "counter", "source", "bytes", "Size of the bodies of these messages"),
    _row("source_connected", "gauge", "source", "0 or 1", "Whether the source has its broker"),
    _row("source_reconnects_total", "counter", "source", "reconnects", "How often the source was opened again"),
    _row("source_rebuilds_total", "counter", "source reason", "rebuilds", "Of these, those of a source that was stuck"),
    _row("source_unacknowledged_messages", "gauge", "source", "messages", "Received, and not yet acknowledged"),
    _row("source_partitions", "gauge", "source", "partitions", "Partitions or queues that this process reads"),
    _row("source_lag_messages", "gauge", "source partition", "messages", "At the broker, not yet fetched"),
    _row(
        "source_lag_seconds",
        "gauge",
        "source partition",
        "seconds",
        "Age of the last message fetched, where there are more; else 0",
    ),
    _row("source_rebalances_total", "counter", "source", "assignments", "Assignments that the group has given"),
    _row("source_commits_total", "counter", "source", "requests", "Commits or acknowledgements that were sent"),
    _row(
        "source_skipped_total", "counter", "source", "messages", "The broker would have given again what the outbox had"
    ),
    _row("source_paused", "gauge", "source", "0 or 1", "Whether an operator has paused the source"),
    _row("source_held_up", "gauge", "source", "0 or 1", "Whether the source waits for room in the outbox"),
    _row("source_batch_duration_seconds", "histogram", "source", "seconds", "Decoding one fetch and asking the rules"),
    _row("source_waiting", "gauge", "source", "0 or 1", "Whether the source waits for a schema registry"),
    _row(
        "schema_registry_errors_total", "counter", "source reason", "errors", "Tries at a schema registry that failed"
    ),
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
    _row(
        "shadow_messages_total", "counter", "source", "messages", "Messages that the shadow rules were asked about too"
    ),
    _row("shadow_differing_total", "counter", "source", "messages", "Of these, those they would not do the same with"),
    _row(
        "shadow_differences_total",
        "counter",
        "rule operation difference",
        "differences",
        "What the shadow rules would do otherwise",
    ),
    _row("shadow_failures_total", "counter", "source", "batches", "Batches that could not be compared: a defect"),
    # outbox
    _row("outbox_entries", "gauge", "state", "calls", "Calls waiting: ready, parked, or later (retry, delay, no room)"),
    _row("outbox_bytes", "gauge", "", "bytes", "Size of the outbox file and its log"),
    _row("outbox_capacity_bytes", "gauge", "", "bytes", "When so much of it is used, intake waits; 0: no bound"),
    _row("outbox_write_duration_seconds", "histogram", "", "seconds", "One transaction of the outbox, fsync included"),
    _row("outbox_write_errors_total", "counter", "", "transactions", "Transactions that failed, and were tried again"),
    _row(
        "duplicates_suppressed_total", "counter", "source", "messages", "Messages that came again, known by their ids"
    ),
    _row("parked_oldest_timestamp_seconds", "gauge", "", "Unix time", "Arrival of the oldest parked call; or absent"),
    _row("blocked_lanes", "gauge", "", "lanes", "Lanes that a dead letter blocks (on_dead: block)"),
    _row("outbox_oldest_timestamp_seconds", "gauge", "", "Unix time", "Arrival of the oldest waiting call; or absent"),
    _row("dead_letter_entries", "gauge", "", "dead letters", "Dead letters kept, waiting for somebody"),
    _row("dead_letter_bytes", "gauge", "", "bytes", "Bytes of the dead letters kept"),
    _row("dead_letter_capacity_bytes", "gauge", "", "bytes", "When so many are kept, intake waits; 0: no bound"),
    _row("dead_letters_copied_total", "counter", "", "dead letters", "Dead letters copied to dead_letters.to"),
    _row(
        "dead_letters_cut_total", "counter", "", "dead letters", "Dead letters that dead_letters.to took in part or not"
    ),
    _row("dead_letters_expired_total", "counter", "", "dead letters", "Dead letters deleted after dead_letters.keep"),
    _row("dead_letters_total", "counter", "rule reason", "dead letters", "Messages or calls that became dead letters"),
    # dispatch
    _row("deliveries_total", "counter", "rule operation outcome", "calls", "What became of a call after an attempt"),
    _row("instances_errored_total", "counter", "rule", "instances", "Made by a rule with watch, and ended in an error"),
    _row("retries_total", "counter", "operation reason", "calls", "Calls that are tried again later, and why"),
    _row("delivery_attempts", "histogram", "operation", "attempts", "Attempts that a delivered call took"),
    _row("last_delivery_timestamp_seconds", "gauge", "target", "Unix time", "When the target last did what was asked"),
    _row("request_duration_seconds", "histogram", "operation outcome", "seconds", "One HTTP request to the API"),
    _row("batch_size_calls", "histogram", "", "calls", "Creates that one request carried"),
    _row("requests_saved_total", "counter", "", "requests", "Instances that batches have made, less these batches"),
    _row(
        "quota_limit_requests", "gauge", "target", "requests", "The token's quota, by the API; absent where it has none"
    ),
    _row("quota_remaining_requests", "gauge", "target", "requests", "What was left of it at the last answer"),
    _row("quota_reset_seconds", "gauge", "target", "seconds", "How long until there is more"),
    _row(
        "throttled_seconds_total",
        "counter",
        "target reason",
        "seconds",
        "Time in which calls waited only for the quota (budget), its block (block) or the creation rate (creations)",
    ),
    _row("creations_refused_total", "counter", "target workflow", "requests", "429s for too many instances a second"),
    _row(
        "paused",
        "gauge",
        "target workflow operation reason",
        "1",
        "What is not called now, and why: a workflow, an operation (create, event, status, get), or all of the target",
    ),
    _row(
        "operator_paused", "gauge", "kind name", "1", "What operators have paused: a source, rule, workflow …, or all"
    ),
    _row("useful_replicas", "gauge", "", "replicas", "Replicas that this process's work would keep busy; sum them up"),
    _row("end_to_end_duration_seconds", "histogram", "operation", "seconds", "From the message's time to delivered"),
)

ROWS = {row.name.removeprefix(PREFIX): row for row in TABLE}
# What a source may count, by the name under which it does.
SOURCE_COUNTERS = {name: ROWS[f"source_{name}_total"] for name in ("rebalances", "commits", "skipped")}
# What ``Watch.quota`` reports, in its order.
QUOTA_GAUGES = tuple(ROWS[f"quota_{name}"] for name in ("limit_requests", "remaining_requests", "reset_seconds"))
# What is read only when somebody scrapes.
WATCHED = frozenset(
    (
        *("outbox_entries", "outbox_oldest_timestamp_seconds", "parked_oldest_timestamp_seconds", "blocked_lanes"),
        *(
            "dead_letter_entries",
            "dead_letter_bytes",
            "paused",
            "operator_paused",
            "useful_replicas",
            "outbox_bytes",
            "outbox_capacity_bytes",
            "outbox_write_errors_total",
            "duplicates_suppressed_total",
            "source_partitions",
            "source_lag_messages",
            "source_lag_seconds",
        ),
        *(row.name.removeprefix(PREFIX) for row in (*SOURCE_COUNTERS.values(), *QUOTA_GAUGES)),
    )
)
