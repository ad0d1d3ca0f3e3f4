"""The row Rules: what the rules make of it."""

from __future__ import annotations

from helm.dashboards.model import Line, Panel, Query, single, up_to
from helm.dashboards.queries import gained, quantile, rate

LINES = (
    Line(
        8,
        (
            Panel(
                "Messages matched",
                "timeseries",
                "mps",
                "Messages for which a rule fired, by rule. A message may fire several.",
                single(rate("messages_matched_total", by="rule"), "{{rule}}"),
            ),
            Panel(
                "Matched by none, or dropped",
                "timeseries",
                "short",
                "Messages that no rule matched, and those dropped on purpose, in each interval, by source and reason.",
                (
                    Query(gained("messages_unmatched_total", "source"), "{{source}} unmatched"),
                    Query(gained("messages_dropped_total", "source, reason"), "{{source}} {{reason}}"),
                ),
                bars=True,
                stacked=True,
            ),
            Panel(
                "Errors of rules",
                "timeseries",
                "mps",
                "Messages on which an expression failed, absent fields included: most often a name is misspelt.",
                single(rate("rule_errors_total", by="rule"), "{{rule}}"),
                runbook="WorkflowBridgeRuleErrors",
            ),
        ),
    ),
    Line(
        7,
        (
            Panel(
                "Decoding and asking the rules",
                "timeseries",
                "s",
                "Time that one fetch takes from bytes to calls, by source.",
                single(quantile(0.99, "source_batch_duration_seconds", "source"), "{{source}} p99"),
                up_to(0.25, 1),
            ),
            Panel(
                "Instances that failed",
                "timeseries",
                "short",
                "Instances that rules with watch have made and that ended in an error, as far as it was seen in each "
                "interval, by rule. Nothing where no rule has watch.",
                single(gained("instances_errored_total", "rule"), "{{rule}}"),
                empty="none",
                bars=True,
                stacked=True,
                runbook="WorkflowBridgeInstancesErrored",
            ),
            Panel(
                "Shadow rules",
                "timeseries",
                "mps",
                "Messages that the shadow rules were asked about, and those they would treat otherwise; failures are "
                "a defect.",
                (
                    Query(rate("shadow_messages_total"), "asked"),
                    Query(rate("shadow_differing_total"), "would differ"),
                    Query(rate("shadow_failures_total"), "batches that failed"),
                ),
            ),
            Panel(
                "What shadow rules would do otherwise",
                "timeseries",
                "short",
                "Differences by rule, operation and what differs; nothing of it is done. In each interval.",
                single(
                    gained("shadow_differences_total", "rule, operation, difference"),
                    "{{rule}} {{operation}} {{difference}}",
                ),
                empty="nothing",
                bars=True,
                stacked=True,
            ),
        ),
    ),
)
