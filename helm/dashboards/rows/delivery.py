"""The row Delivery: what the API does with it."""

from __future__ import annotations

from helm.dashboards.model import Line, Panel, Query, single, up_to
from helm.dashboards.queries import ENDED, gained, mean, of, quantile, rate, total

LINES = (
    Line(
        8,
        (
            Panel(
                "Calls by outcome",
                "timeseries",
                "ops",
                "What became of each call after an attempt: carried out, already there, tried again, parked, dead.",
                single(rate("deliveries_total", by="outcome"), "{{outcome}}"),
                stacked=True,
                runbook="WorkflowBridgeDeadCallsFast",
            ),
            Panel(
                "Calls ended by rule",
                "timeseries",
                "ops",
                "Calls that came to an end, by the rule that made them and what they do.",
                single(rate("deliveries_total", ENDED, by="rule, operation"), "{{rule}} {{operation}}"),
            ),
            Panel(
                "Tried again, and why",
                "timeseries",
                "short",
                "Calls that are tried again later, in each interval, by operation and reason; parked ones are "
                "instance_missing.",
                single(gained("retries_total", "operation, reason"), "{{operation}} {{reason}}"),
                bars=True,
                stacked=True,
                empty="none",
            ),
        ),
    ),
    Line(
        8,
        (
            Panel(
                "Requests by outcome",
                "timeseries",
                "reqps",
                "HTTP requests to the API, by operation and what came of them. A batch of creates is one.",
                single(rate("request_duration_seconds_count", by="operation, outcome"), "{{operation}} {{outcome}}"),
                stacked=True,
                runbook="WorkflowBridgeNothingDelivered",
            ),
            Panel(
                "Duration of requests",
                "timeseries",
                "s",
                "One HTTP request from the first byte to the last, by operation.",
                tuple(
                    Query(
                        quantile(share, "request_duration_seconds", "operation"), f"{{{{operation}}}} p{share * 100:g}"
                    )
                    for share in (0.5, 0.99)
                ),
                up_to(2.5, 10),
            ),
            Panel(
                "Distribution of these durations",
                "heatmap",
                "s",
                "How many requests took how long.",
                single(
                    total("increase(" + of("request_duration_seconds_bucket") + "[$__rate_interval])", "le"), "{{le}}"
                ),
            ),
        ),
    ),
    Line(
        7,
        (
            Panel(
                "From message to delivery",
                "timeseries",
                "s",
                "From the time that the broker gave a message to the answer, by operation; events wait for their "
                "instance.",
                tuple(
                    Query(
                        quantile(share, "end_to_end_duration_seconds", "operation"),
                        f"{{{{operation}}}} p{share * 100:g}",
                    )
                    for share in (0.5, 0.99)
                ),
                ((None, "green"), (60, "red")),
                lines=True,
                runbook="WorkflowBridgeLateCallsSlow",
            ),
            Panel(
                "Attempts of a call",
                "timeseries",
                "short",
                "How many attempts calls took that were carried out, on average, by operation. 1 is the least.",
                single(mean("delivery_attempts", "operation"), "{{operation}}"),
                up_to(2, 5),
            ),
            Panel(
                "Creates in a request",
                "timeseries",
                "short",
                "Creates that one request carried: one at a time while few wait, up to 100 under load.",
                (Query(mean("batch_size_calls"), "mean"), Query(quantile(0.99, "batch_size_calls"), "p99")),
                bounds=(0, 100),
            ),
        ),
    ),
)
