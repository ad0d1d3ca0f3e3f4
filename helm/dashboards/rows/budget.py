"""The row Budget: what the quota allows, and what is paused."""

from __future__ import annotations

from helm.dashboards.model import GOOD_NO_MORE, Line, Panel, Query, single, up_to
from helm.dashboards.queries import gained, most, of, rate

LINES = (
    Line(
        8,
        (
            Panel(
                "Requests left in the window",
                "timeseries",
                "short",
                "By the last answer of the API, and what the quota is.",
                (
                    Query(f"min by (target) ({of('quota_remaining_requests')})", "{{target}} left"),
                    Query(most(of("quota_limit_requests"), "target"), "{{target}} quota"),
                ),
                empty="no quota",
                runbook="WorkflowBridgeQuotaUsedUp",
            ),
            Panel(
                "Until there is more",
                "timeseries",
                "s",
                "Time until the window of the quota ends, or the block.",
                single(most(of("quota_reset_seconds"), "target"), "{{target}}"),
                empty="no quota",
            ),
            Panel(
                "Waiting for the quota",
                "timeseries",
                "percentunit",
                "Share of the time in which calls waited only for the quota (budget), the end of a block, or the rate "
                "of creations. Near 100 % for hours the quota is the bottleneck.",
                single(rate("throttled_seconds_total", by="target, reason"), "{{target}} {{reason}}"),
                up_to(0.5, 0.9),
                empty="never",
                runbook="WorkflowBridgeQuotaUsedUp",
            ),
        ),
    ),
    Line(
        7,
        (
            Panel(
                "What is paused, and why",
                "state-timeline",
                "none",
                "A refused token or the quota pauses a target, or one operation of it; a missing workflow or twenty "
                "rejections in a row a workflow. Nothing is lost meanwhile.",
                single(
                    most(of("paused"), "target, workflow, operation, reason"),
                    "{{target}} {{workflow}} {{operation}}: {{reason}}",
                ),
                GOOD_NO_MORE,
                words=((1, "paused", "red"),),
                empty="nothing is paused",
                runbook="WorkflowBridgeTokenRefused",
            ),
            Panel(
                "Paused by operators",
                "state-timeline",
                "none",
                "Sources, rules, workflows, targets, or all, until somebody resumes them; why is in `workflow-bridge "
                "pauses` and on the bridge's own page.",
                single(most(of("operator_paused"), "kind, name, instance"), "{{kind}} {{name}} ({{instance}})"),
                ((None, "green"), (1, "orange")),
                words=((1, "paused", "orange"),),
                empty="nothing is paused",
                runbook="WorkflowBridgePausedByOperator",
            ),
        ),
    ),
    Line(
        7,
        (
            Panel(
                "Refused: too many creations",
                "timeseries",
                "short",
                "Answers of 429, in each interval, that are not the quota of requests but the rate of new instances, "
                "by workflow.",
                single(gained("creations_refused_total", "target, workflow"), "{{target}} {{workflow}}"),
                bars=True,
                empty="none",
            ),
            Panel(
                "Requests saved by batches",
                "timeseries",
                "reqps",
                "What the same creates would have cost on top, one by one.",
                single(rate("requests_saved_total"), "saved"),
            ),
        ),
    ),
)
