"""The dashboard as a file: that Grafana can read it, and that it says what people need to read it."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bridge.metrics import TABLE
from helm.dashboards.build import FILE, RUNBOOK, SCHEMA, WIDTH, text

DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
ROOT = Path(__file__).parents[2]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRS = [target["expr"] for panel in PANELS for target in panel["targets"]]
EXPRS += [annotation["expr"] for annotation in DASHBOARD["annotations"]["list"]]
GRID_ROW = 24
# Of Grafana's many; a misspelt one is shown as a bare number, and nobody is told.
UNITS = {"short", "none", "s", "bytes", "Bps", "mps", "ops", "reqps", "percentunit"}
COLORS = {"green", "orange", "red", "blue", "purple"}
NAME = re.compile(r"\bworkflow_bridge_\w+")
SELECTOR = re.compile(r"\b(workflow_bridge_\w+|process_\w+|python_\w+|ALERTS)\{([^}]*)\}")


def in_table(name: str) -> str:
    """The metric that a series belongs to: histograms have three kinds."""
    known = {row.name for row in TABLE}
    return name if name in known else re.sub(r"_(bucket|sum|count)$", "", name)


def panel_of(title: str, row: str) -> dict[str, Any]:
    """Titles may come twice, under different rows."""
    rows = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    begins = {panel["title"]: panel["gridPos"]["y"] for panel in rows}
    mine = [panel for panel in PANELS if panel["title"] == title and panel["gridPos"]["y"] > begins[row]]
    return min(mine, key=lambda panel: int(panel["gridPos"]["y"]))


def test_the_file_is_what_its_source_says() -> None:
    """Nobody has changed one without the other; ``make dashboard`` writes it."""
    assert FILE.read_text() == text()


def test_grafana_knows_it_again() -> None:
    """It has an address of its own, cannot be changed in place, and is of a version that Grafana 10.4 reads."""
    assert (DASHBOARD["uid"], DASHBOARD["schemaVersion"], DASHBOARD["editable"]) == ("workflow-bridge", SCHEMA, False)
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert DASHBOARD["title"]
    assert DASHBOARD["refresh"]


def test_panels_do_not_overlap() -> None:
    """Every cell of the grid has one panel at most, and none is outside of it."""
    cells: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH == GRID_ROW
        for cell in [(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])]:
            assert cell not in cells, (panel["title"], cells[cell])
            cells[cell] = panel["title"]


def test_the_rows_are_the_ones_people_look_for() -> None:
    """From the whole to the parts, and none is empty."""
    rows = [(place, panel["title"]) for place, panel in enumerate(DASHBOARD["panels"]) if panel["type"] == "row"]
    titles = ["Overview", "Sources", "Rules", "Outbox", "Delivery", "Budget", "Dead letters", "Process"]
    assert [title for _, title in rows] == titles
    assert all(
        after - before > 1 for before, after in pairwise([*(place for place, _ in rows), len(DASHBOARD["panels"])])
    )


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel['id']} {panel['title']}")
def test_a_panel_can_be_read(panel: dict[str, Any]) -> None:
    """It has a title, a description in sentences, a unit, a chosen data source, and colours that Grafana knows."""
    assert panel["title"]
    assert len(panel["description"].split()) >= 3
    assert panel["description"].endswith(".")
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in UNITS
    steps = defaults["thresholds"]["steps"]
    assert {step["color"] for step in steps} <= COLORS
    values = [step.get("value") for step in steps]
    assert values[0] is None
    assert sorted(values[1:]) == values[1:]
    assert panel["targets"]
    assert all(source["datasource"]["uid"] == "${datasource}" for source in (panel, *panel["targets"]))
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)


@pytest.mark.parametrize("expr", EXPRS)
def test_a_query_is_of_what_is_chosen(expr: str) -> None:
    """Each selector follows the variables; ranges are Grafana's; counters are rates; nothing is made up."""
    selectors = SELECTOR.findall(expr)
    assert len(selectors) == len(re.findall(r"\b(?:workflow_bridge_|process_|python_|ALERTS)", expr))
    for name, matchers in selectors:
        wanted = ["job"] if name == "ALERTS" else ["namespace", "job", "instance"]
        labels = next((row.labels for row in TABLE if row.name == in_table(name)), ())
        wanted += [label for label in ("source", "rule", "target", "workflow") if label in labels]
        assert [label for label in wanted if f'{label}=~"${label}"' not in matchers] == []
    assert set(re.findall(r"\[([^]]*)\]", expr)) <= {"$__rate_interval", "$__range"}
    counters = r"_total|_bucket|_sum|_count"
    bare = re.findall(rf"(?<!rate\()(?<!increase\()\b\w+(?:{counters})\{{[^}}]*\}}(\[)?", expr)
    assert "[" not in bare
    assert bare == [] or " unless " in expr
    assert not re.search(r"\bor (vector|on\()", expr)


def test_every_link_leads_to_a_section_of_the_runbook() -> None:
    """What is red says what to do."""
    headings = re.findall(r"^#+ (.*)$", (ROOT / "helm" / "runbook.md").read_text(), re.MULTILINE)
    anchors = {heading.lower() for heading in headings}
    links = [link["url"] for panel in PANELS for link in panel["links"]]
    assert links
    assert {url.removeprefix(f"{RUNBOOK}#") for url in links} <= anchors
    assert DASHBOARD["links"][0]["url"] == RUNBOOK


def test_every_metric_is_shown_or_it_is_said_why_not() -> None:
    """All of the table; what is not shown is in the page of metrics with its reason, and only that."""
    shown = {in_table(name) for expr in EXPRS for name in NAME.findall(expr)}
    assert shown <= {row.name for row in TABLE}
    page = (ROOT / "config" / "metrics.md").read_text()
    section = page.partition("\n## The dashboard\n")[2].partition("\n## ")[0]
    not_shown = dict(re.findall(r"^- `(workflow_bridge_\w+)` is not shown: (.+)$", section, re.MULTILINE))
    assert section
    assert not_shown.keys() == {row.name for row in TABLE} - shown


def test_every_choice_is_of_what_was_chosen_before() -> None:
    """Bridges first, then what they have; everything at first."""
    variables = DASHBOARD["templating"]["list"]
    names = ["datasource", "namespace", "job", "instance", "source", "rule", "target", "workflow"]
    assert [variable["name"] for variable in variables] == names
    for place, variable in enumerate(variables[1:], 1):
        assert set(re.findall(r"\$(\w+)", variable["definition"])) == set(names[1 : min(place, 4)])
        assert variable["current"]["value"] == ["$__all"]
