"""The row Sources: what comes in, and how far behind it is."""

from __future__ import annotations

from helm.dashboards.model import AGE, Line, Panel, Query, down_to, single, up_to
from helm.dashboards.queries import gained, most, of, rate, total

LINES = (
    Line(
        8,
        (
            Panel(
                "Messages received",
                "timeseries",
                "mps",
                "Messages that brokers gave, by source.",
                single(rate("source_messages_received_total", by="source"), "{{source}}"),
                stacked=True,
            ),
            Panel(
                "Bytes received",
                "timeseries",
                "Bps",
                "Size of the bodies of these messages, by source.",
                single(rate("source_received_bytes_total", by="source"), "{{source}}"),
                stacked=True,
            ),
            Panel(
                "State of sources",
                "state-timeline",
                "none",
                "Whether a source has its broker, room in the outbox, and the schemas that its messages need, and "
                "whether an operator has paused it. Without any of these it waits, and its messages stay with the "
                "broker.",
                (
                    Query(f"min by (source) ({of('source_connected')})", "{{source}}: broker"),
                    Query(f"1 - {most(of('source_held_up'), 'source')}", "{{source}}: room in the outbox"),
                    Query(f"1 - {most(of('source_waiting'), 'source')}", "{{source}}: schemas"),
                    Query(f"1 - {most(of('source_paused'), 'source')}", "{{source}}: not paused by an operator"),
                ),
                down_to(1, 1),
                words=((0, "no", "red"), (1, "yes", "green")),
                runbook="WorkflowBridgeSourceDisconnected",
            ),
        ),
    ),
    Line(
        8,
        (
            Panel(
                "Messages behind",
                "timeseries",
                "short",
                "Messages at the broker that were not fetched yet, by source. Kafka only.",
                single(total(of("source_lag_messages"), "source"), "{{source}}"),
                up_to(10_000, 1_000_000),
                runbook="WorkflowBridgeLagGrows",
            ),
            Panel(
                "Time behind",
                "timeseries",
                "s",
                "Age of the last message fetched where there are more, the worst partition of each source: an upper "
                "bound for the next one. Kafka only.",
                single(most(of("source_lag_seconds"), "source"), "{{source}}"),
                AGE,
                lines=True,
                runbook="WorkflowBridgeSourceBehind",
            ),
            Panel(
                "Ten partitions furthest behind",
                "timeseries",
                "short",
                "One slow partition among many hides in the sums. A source has at most 100 series; the rest is other.",
                single(
                    f"topk(10, {total(of('source_lag_messages'), 'source, partition')})", "{{source}} {{partition}}"
                ),
                runbook="WorkflowBridgeLagGrows",
            ),
        ),
    ),
    Line(
        7,
        (
            Panel(
                "Not acknowledged",
                "timeseries",
                "short",
                "Messages that were received, and whose receipt is not there yet: what the broker would give again "
                "now.",
                single(total(of("source_unacknowledged_messages"), "source"), "{{source}}"),
            ),
            Panel(
                "Partitions and queues",
                "timeseries",
                "short",
                "How many each bridge reads. A step is a rebalance; fewer than there are in sum means that somebody "
                "else reads the rest.",
                single(total(of("source_partitions"), "source, instance"), "{{source}} {{instance}}"),
            ),
            Panel(
                "Rebalances and reconnects",
                "timeseries",
                "short",
                "Assignments that a consumer group gave, connections that were opened again, and of these the ones of "
                "a source that was stuck.",
                (
                    Query(
                        f"sum by (source) (increase({of('source_rebalances_total')}[$__rate_interval]))",
                        "{{source}} rebalances",
                    ),
                    Query(
                        f"sum by (source) (increase({of('source_reconnects_total')}[$__rate_interval]))",
                        "{{source}} reconnects",
                    ),
                    Query(
                        f"sum by (source, reason) (increase({of('source_rebuilds_total')}[$__rate_interval]))",
                        "{{source}} stuck: {{reason}}",
                    ),
                ),
                runbook="WorkflowBridgeSourceDisconnected",
            ),
        ),
    ),
    Line(
        7,
        (
            Panel(
                "Commits",
                "timeseries",
                "ops",
                "Offset commits and acknowledgements that were sent, each for many messages.",
                single(rate("source_commits_total", by="source"), "{{source}}"),
            ),
            Panel(
                "Skipped after a crash",
                "timeseries",
                "mps",
                "Messages that the broker gave again though the outbox had them. Some after a kill; steadily, "
                "something keeps commits from the broker.",
                single(rate("source_skipped_total", by="source"), "{{source}}"),
            ),
            Panel(
                "Failures of schema registries",
                "timeseries",
                "short",
                "Tries at a schema registry that failed in each interval, and why. Meanwhile the source waits.",
                single(gained("schema_registry_errors_total", "source, reason"), "{{source}} {{reason}}"),
                bars=True,
                empty="none",
                runbook="WorkflowBridgeSourceWaits",
            ),
        ),
    ),
)
