"""What the overview tells of quotas, whose times are those of a clock that is no time of day."""

from __future__ import annotations

from bridge.cloudflare.ratelimit import Reading
from bridge.cloudflare.settings import BudgetSettings
from bridge.console.overview import _budgets
from bridge.console.shapes import Budget
from bridge.dispatch.allowance import Allowance, Notes
from bridge.dispatch.gate import Line


def test_a_quota_and_its_block_are_told_by_the_clock_that_they_go_by() -> None:
    """What is left and for how long; and how long nothing goes."""
    now = 50.0
    allowance = Allowance(BudgetSettings(), lambda: now, Notes(lambda: "", lambda _: None, lambda: 1_700_000_000_000))
    lines = {"main": Line(None, 8, allowance)}  # type: ignore[arg-type]  # nothing is sent
    assert _budgets(lines) == [Budget("main", "unknown", None, None, None, None)]
    allowance.answered(200, [Reading("default", 1200, 300.0, 1000, 240.0)], None, allowance.sent())
    assert _budgets(lines) == [Budget("main", "counted", 1200, 1000, 120, 240.0)]
    allowance.answered(429, [Reading("default", 1200, 300.0, 0, 240.0)], 200.0, allowance.sent())
    now += 80
    assert _budgets(lines) == [Budget("main", "blocked", 1200, 0, None, 120.0)]
