"""What a panel of the dashboard is."""

from __future__ import annotations

from typing import Literal, NamedTuple

Step = tuple[float | None, str]  # from this value on (None: from the start), this colour

GOOD_NO_MORE: tuple[Step, ...] = ((None, "green"), (1, "red"))  # 0 is well
NEUTRAL: tuple[Step, ...] = ((None, "blue"),)


class Query(NamedTuple):
    """One query of a panel, and what its series are called."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """One panel; the order of the fields is that of their weight."""

    title: str
    kind: Literal["stat", "timeseries", "state-timeline", "heatmap", "table"]
    unit: str  # an id of Grafana's
    description: str
    queries: tuple[Query, ...]
    steps: tuple[Step, ...] = NEUTRAL
    words: tuple[tuple[int, str, str], ...] = ()  # value, text, colour
    runbook: str = ""  # the section that says what to do
    empty: str = ""  # what is said where nothing is there, and that is well
    stacked: bool = False
    bars: bool = False  # what grew in each interval
    columns: tuple[tuple[str, str], ...] = ()  # of a table: label, title
    lines: bool = False  # the steps are drawn as lines, too
    bounds: tuple[float | None, float | None] = (0, None)


class Line(NamedTuple):
    """Panels side by side."""

    height: int
    panels: tuple[Panel, ...]


def up_to(warn: float, bad: float) -> tuple[Step, ...]:
    """Green below the first, red from the second on."""
    return ((None, "green"), (warn, "orange"), (bad, "red"))


def down_to(warn: float, bad: float) -> tuple[Step, ...]:
    """Red below the second, green from the first on."""
    return ((None, "red"), (bad, "orange"), (warn, "green"))


AGE = up_to(60, 900)  # seconds: the objective's bound, and that of the alert on sources


def single(expr: str, legend: str = "") -> tuple[Query, ...]:
    """One query."""
    return (Query(expr, legend),)
