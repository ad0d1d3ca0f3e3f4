"""The row Outbox: what waits."""

from __future__ import annotations

from helm.dashboards.model import AGE, GOOD_NO_MORE, Line, Panel, Query, single
from helm.dashboards.queries import most, of, quantile, rate, total

LINES = (
    Line(
        8,
        (
            Panel(
                "Calls waiting",
                "timeseries",
                "short",
                "Ready to be sent, later (a retry, a delay), parked (an event whose instance is not there yet).",
                single(total(of("outbox_entries"), "state"), "{{state}}"),
                stacked=True,
                runbook="WorkflowBridgeNothingDelivered",
            ),
            Panel(
                "Age of the oldest",
                "timeseries",
                "s",
                "How long the oldest call has waited, and the oldest parked one. No line: nothing waits.",
                (
                    Query(most(f"time() - {of('outbox_oldest_timestamp_seconds')}"), "oldest call"),
                    Query(most(f"time() - {of('parked_oldest_timestamp_seconds')}"), "oldest parked call"),
                ),
                AGE,
                empty="nothing waits",
                lines=True,
                runbook="WorkflowBridgeLateCallsFast",
            ),
            Panel(
                "Blocked lanes",
                "timeseries",
                "short",
                "Lanes that a dead letter keeps closed (on_dead: block), until somebody releases or discards it.",
                single(total(of("blocked_lanes"), "instance"), "{{instance}}"),
                GOOD_NO_MORE,
                runbook="WorkflowBridgeLanesBlocked",
            ),
        ),
    ),
    Line(
        7,
        (
            Panel(
                "Size of the file",
                "timeseries",
                "bytes",
                "The outbox file with SQLite's log; and how much of it may be used (outbox.max_bytes; 0: no bound).",
                (
                    Query(total(of("outbox_bytes"), "instance"), "{{instance}}"),
                    Query(total(of("outbox_capacity_bytes"), "instance"), "{{instance}} at most"),
                ),
                runbook="WorkflowBridgeOutboxFull",
            ),
            Panel(
                "Writing to the disk",
                "timeseries",
                "s",
                "How long a transaction takes, the fsync included: messages are acknowledged after it.",
                (
                    Query(quantile(0.5, "outbox_write_duration_seconds"), "half of them within"),
                    Query(quantile(0.99, "outbox_write_duration_seconds"), "99 of 100 within"),
                ),
                runbook="WorkflowBridgeOutboxFull",
            ),
            Panel(
                "Failed writes",
                "timeseries",
                "ops",
                "Transactions that failed, because the disk is full or broken; they are tried again.",
                single(rate("outbox_write_errors_total", by="instance"), "{{instance}}"),
                GOOD_NO_MORE,
                runbook="WorkflowBridgeOutboxFull",
            ),
            Panel(
                "Known already",
                "timeseries",
                "mps",
                "Messages that came again and were left out, by the ids that are remembered of RabbitMQ's.",
                single(rate("duplicates_suppressed_total", by="source"), "{{source}}"),
            ),
        ),
    ),
)
