"""The row Dead letters: what needs somebody."""

from __future__ import annotations

from helm.dashboards.model import Line, Panel, Query, single, up_to
from helm.dashboards.queries import gained, of, rate, total

LINES = (
    Line(
        8,
        (
            Panel(
                "New dead letters",
                "timeseries",
                "short",
                "Messages and calls that became dead letters in each interval, by rule (none: no rule was involved) "
                "and reason.",
                single(gained("dead_letters_total", "rule, reason"), "{{rule}} {{reason}}"),
                empty="none",
                stacked=True,
                bars=True,
                runbook="WorkflowBridgeDeadLetters",
            ),
            Panel(
                "In the time shown",
                "table",
                "short",
                "The same as numbers, the most frequent first.",
                single(f"sort_desc({gained('dead_letters_total', 'rule, reason', '$__range')} > 0)"),
                columns=(("rule", "Rule"), ("reason", "Reason"), ("Value", "Dead letters")),
                empty="none",
                runbook="WorkflowBridgeDeadLetters",
            ),
        ),
    ),
    Line(
        7,
        (
            Panel(
                "Kept",
                "timeseries",
                "short",
                "Dead letters that wait for somebody: they count against the outbox.",
                single(total(of("dead_letter_entries"), "instance"), "{{instance}}"),
                up_to(1, 1000),
                runbook="WorkflowBridgeDeadLetters",
            ),
            Panel(
                "Size of those kept",
                "timeseries",
                "bytes",
                "Their bytes, messages and calls, and how many there may be (dead_letters.max_bytes): intake waits "
                "then.",
                (
                    Query(total(of("dead_letter_bytes"), "instance"), "{{instance}}"),
                    Query(f"{total(of('dead_letter_capacity_bytes'), 'instance')} > 0", "{{instance}} at most"),
                ),
                runbook="WorkflowBridgeDeadLetters",
            ),
            Panel(
                "Copied and deleted",
                "timeseries",
                "ops",
                "Dead letters copied to the broker that dead_letters.to names, those that it took in part or not at "
                "all since they were too large, and those deleted because they were kept for as long as "
                "dead_letters.keep says.",
                (
                    Query(rate("dead_letters_copied_total"), "copied"),
                    Query(rate("dead_letters_cut_total"), "cut, too large"),
                    Query(rate("dead_letters_expired_total"), "deleted"),
                ),
            ),
        ),
    ),
)
