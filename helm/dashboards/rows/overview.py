"""The row Overview: how things stand, at a glance."""

from __future__ import annotations

from helm.dashboards.model import AGE, GOOD_NO_MORE, Line, Panel, Query, down_to, single, up_to
from helm.dashboards.queries import ALERTS, DEAD, ENDED, MINUTE, grown, most, of, quantile, rate, total

LINES = (
    Line(
        4,
        (
            Panel(
                "Bridges",
                "stat",
                "short",
                "Bridges that report. The alert on their absence needs no dashboard.",
                single(f"count({of('build_info')})"),
                runbook="WorkflowBridgeAbsent",
            ),
            Panel(
                "Alerts",
                "stat",
                "short",
                "Alerts of the chosen job that fire now; each has a section in the runbook. Needs the rules of "
                "helm/alerts in this Prometheus.",
                single(f"count({ALERTS})"),
                GOOD_NO_MORE,
                empty="none",
                runbook="Runbook",
            ),
            Panel(
                "Carried out",
                "stat",
                "percentunit",
                "Of the calls that came to an end in the time shown, those that did not become dead letters. "
                "The objective is 99.9 % over 30 days.",
                single(f"1 - {grown('deliveries_total', DEAD)} / {grown('deliveries_total', ENDED)}"),
                down_to(0.999, 0.99),
                empty="no calls",
                runbook="WorkflowBridgeDeadCallsFast",
            ),
            Panel(
                "Within a minute",
                "stat",
                "percentunit",
                "Of the calls carried out in the time shown, those whose message was at most a minute old. "
                "The objective is 99 % over 30 days.",
                single(
                    f"{grown('end_to_end_duration_seconds_bucket', MINUTE)}"
                    f" / {grown('end_to_end_duration_seconds_count')}"
                ),
                down_to(0.99, 0.95),
                empty="no calls",
                runbook="WorkflowBridgeLateCallsFast",
            ),
            Panel(
                "Oldest waiting call",
                "stat",
                "s",
                "How long ago the oldest call that waits came in, parked and delayed ones included.",
                single(most(f"time() - {of('outbox_oldest_timestamp_seconds')}")),
                AGE,
                empty="nothing waits",
                runbook="WorkflowBridgeLateCallsFast",
            ),
            Panel(
                "Furthest behind",
                "stat",
                "s",
                "The largest age of what is read from a partition now, where there is more: how late the slowest "
                "source is. Kafka only; RabbitMQ does not tell.",
                single(most(of("source_lag_seconds"))),
                AGE,
                empty="not known",
                runbook="WorkflowBridgeSourceBehind",
            ),
        ),
    ),
    Line(
        4,
        (
            Panel(
                "Calls waiting",
                "stat",
                "short",
                "Calls in the outbox: ready to be sent, waiting for their time, parked.",
                single(total(of("outbox_entries"))),
            ),
            Panel(
                "Dead letters",
                "stat",
                "short",
                "Dead letters that are kept and wait for somebody.",
                single(total(of("dead_letter_entries"))),
                up_to(1, 1000),
                runbook="WorkflowBridgeDeadLetters",
            ),
            Panel(
                "Pauses",
                "stat",
                "short",
                "Targets and workflows that are not called now; the row on the budget says which and why.",
                single(f"count({of('paused')})"),
                GOOD_NO_MORE,
                empty="none",
                runbook="WorkflowBridgeTokenRefused",
            ),
            Panel(
                "Sources without broker",
                "stat",
                "short",
                "Sources that have no connection to their broker, and are not paused by an operator.",
                single(
                    f"sum(1 - ({of('source_connected')} unless on (namespace, job, instance, source) "
                    f"({of('source_paused')} == 1)))"
                ),
                GOOD_NO_MORE,
                empty="all paused",
                runbook="WorkflowBridgeSourceDisconnected",
            ),
            Panel(
                "Quota left",
                "stat",
                "percentunit",
                "What is left of the scarcest quota of requests in its window. The bridge leaves a reserve alone.",
                single(f"min({of('quota_remaining_requests')} / {of('quota_limit_requests')})"),
                down_to(0.2, 0.05),
                empty="no quota",
                runbook="WorkflowBridgeQuotaUsedUp",
            ),
            Panel(
                "Last success",
                "stat",
                "s",
                "How long ago the target that has waited longest last did what was asked. Grows where nothing is to "
                "be done, too.",
                single(most(f"time() - {of('last_delivery_timestamp_seconds')}")),
                empty="never",
                runbook="WorkflowBridgeNothingDelivered",
            ),
        ),
    ),
    Line(
        8,
        (
            Panel(
                "Messages in, calls out",
                "timeseries",
                "ops",
                "Messages received, calls that came to an end, and of these the ones that died, each second. A message "
                "may lead to no call, or to many.",
                (
                    Query(rate("source_messages_received_total"), "messages received"),
                    Query(rate("deliveries_total", ENDED), "calls ended"),
                    Query(rate("deliveries_total", DEAD), "of these dead"),
                ),
            ),
            Panel(
                "From message to delivery",
                "timeseries",
                "s",
                "From the time that the broker gave a message to the answer that its call was carried out. 60 s is the "
                "objective's bound.",
                tuple(
                    Query(quantile(share, "end_to_end_duration_seconds"), f"p{share * 100:g}")
                    for share in (0.5, 0.95, 0.99)
                ),
                ((None, "green"), (60, "red")),
                lines=True,
                runbook="WorkflowBridgeLateCallsFast",
            ),
        ),
    ),
)
