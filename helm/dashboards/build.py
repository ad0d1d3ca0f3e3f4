"""Makes ``workflow-bridge.json``, the Grafana dashboard: ``python -m helm.dashboards.build`` (``make dashboard``).

What is shown is in ``panels.py``; here is how Grafana wants it written.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helm.dashboards.queries import SCOPE, of, process
from helm.dashboards.rows import budget, dead_letters, delivery, outbox, overview, rules, sources
from helm.dashboards.rows import process as processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from helm.dashboards.model import Panel

FILE = Path(__file__).with_name("workflow-bridge.json")
UID = "workflow-bridge"
SCHEMA = 39  # of Grafana 10.4; newer ones read it
WIDTH = 24  # of the grid
RUNBOOK = "https://github.com/workflow-bridge/workflow-bridge/blob/main/helm/runbook.md"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
ROWS = {
    "Overview": overview.LINES,
    "Sources": sources.LINES,
    "Rules": rules.LINES,
    "Outbox": outbox.LINES,
    "Delivery": delivery.LINES,
    "Budget": budget.LINES,
    "Dead letters": dead_letters.LINES,
    "Process": processes.LINES,
}
WITH_EXEMPLARS = ("request_duration_seconds", "end_to_end_duration_seconds")  # where tracing is on: a dot is a trace
CHOICES = {  # name -> (the series that have the label, what it is)
    "namespace": ("build_info", "Namespace of the bridges"),
    "job": ("build_info", "Job of Prometheus that scrapes them"),
    "instance": ("build_info", "Single bridges"),
    "source": ("source_connected", "Sources of the configuration"),
    "rule": ("messages_matched_total", "Rules of the configuration"),
    "target": ("last_delivery_timestamp_seconds", "Targets that have done something"),
    "workflow": (
        "(paused|creations_refused_total)",
        "Workflows that were paused or slowed down; others have no series",
    ),
}


def dashboard() -> dict[str, Any]:
    """The whole dashboard as Grafana imports it."""
    return {
        "uid": UID,
        "title": "Workflow Bridge",
        "description": "What comes in from Kafka and RabbitMQ, what the rules make of it, what waits, and what the "
        "Workflows API does with it.",
        "tags": ["workflow-bridge"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "timezone": "",
        "links": [_link("Runbook", RUNBOOK)],
        "annotations": {"list": _annotations()},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def _link(title: str, url: str) -> dict[str, Any]:
    return {"title": title, "url": url, "type": "link", "icon": "doc", "targetBlank": True, "tags": []}


def _annotations() -> list[dict[str, Any]]:
    """Moments that are a value in milliseconds."""
    moments = {
        "Configuration taken over": ("blue", f"{of('config_last_reload_success_timestamp_seconds')} * 1000"),
        "Started": ("purple", process("process_start_time_seconds", "{} * 1000")),
    }
    return [
        {
            "name": name,
            "datasource": DATASOURCE,
            "enable": True,
            "iconColor": color,
            "expr": expr,
            "useValueForTime": True,
            "titleFormat": name,
            "textFormat": "{{instance}}",
        }
        for name, (color, expr) in moments.items()
    ]


def _variables() -> Iterator[dict[str, Any]]:
    yield {
        "name": "datasource",
        "label": "Data source",
        "description": "The Prometheus that scrapes the bridges",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "refresh": 1,
        "options": [],
    }
    for name, (series, description) in CHOICES.items():
        yield {
            "name": name,
            "label": name.capitalize(),
            "description": description,
            "type": "query",
            "datasource": DATASOURCE,
            "definition": _values(name, series),
            "query": {"query": _values(name, series), "refId": name},
            "includeAll": True,
            "allValue": ".*",
            "multi": True,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "options": [],
            "refresh": 2,  # with the time range: what was there then
            "sort": 1,
            "regex": "",
            "hide": 0,
        }


def _values(name: str, series: str) -> str:
    """The bridges that are chosen by the variables before this one, and their values of the label."""
    before = SCOPE[: SCOPE.index(name)] if name in SCOPE else SCOPE
    matchers = [f'__name__=~"workflow_bridge_{series}"', *(f'{label}=~"${label}"' for label in before)]
    return f"label_values({{{', '.join(matchers)}}}, {name})"


def _panels() -> Iterator[dict[str, Any]]:
    numbers, y = count(1), 0
    for title, lines in ROWS.items():
        row = {"type": "row", "title": title, "collapsed": False, "panels": []}
        yield {"id": next(numbers), "gridPos": _grid(0, y, WIDTH, 1), **row}
        y += 1
        for height, panels in lines:
            width = WIDTH // len(panels)
            for place, panel in enumerate(panels):
                yield {"id": next(numbers), "gridPos": _grid(place * width, y, width, height), **_panel(panel)}
            y += height


def _grid(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "links": [_link("What to do", f"{RUNBOOK}#{panel.runbook.lower()}")] if panel.runbook else [],
        "targets": [_target(panel, number) for number in range(len(panel.queries))],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        "transformations": _transformations(panel),
    }


def _target(panel: Panel, number: int) -> dict[str, Any]:
    query = panel.queries[number]
    target: dict[str, Any] = {
        "refId": chr(ord("A") + number),
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "editorMode": "code",
    }
    if panel.kind == "table":
        return target | {"format": "table", "instant": True, "range": False}
    if panel.kind == "stat" and "$__range" in query.expr:
        return target | {"instant": True, "range": False}
    if any(f"{name}_bucket" in query.expr for name in WITH_EXEMPLARS):
        target["exemplar"] = True
    return target | {"range": True, **({"format": "heatmap"} if panel.kind == "heatmap" else {})}


def _defaults(panel: Panel) -> dict[str, Any]:
    least, largest = (0, 1) if panel.unit == "percentunit" and panel.kind == "stat" else panel.bounds
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": least,
        "max": largest,
        "noValue": panel.empty,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in panel.steps]},
        "mappings": _mappings(panel),
        "custom": _custom(panel),
    }
    return {name: value for name, value in defaults.items() if value not in (None, "", [], {})}


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    words = {str(value): {"text": text, "color": color, "index": value} for value, text, color in panel.words}
    return [{"type": "value", "options": words}] if words else []


def _custom(panel: Panel) -> dict[str, Any]:
    if panel.kind == "state-timeline":
        return {"fillOpacity": 80, "lineWidth": 0}
    if panel.kind != "timeseries":
        return {}
    return {
        "drawStyle": "bars" if panel.bars else "line",
        "lineWidth": 1,
        "fillOpacity": 60 if panel.bars else 30 if panel.stacked else 10,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.lines else "off"},
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        legend = {"showLegend": True, "displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "stat":
        reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": reduce, "colorMode": "value", "graphMode": "area", "textMode": "value"}
    if panel.kind == "heatmap":
        return {"calculate": False, "yAxis": {"unit": panel.unit}, "color": {"mode": "scheme", "scheme": "Oranges"}}
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    return {"mergeValues": True, "showValue": "auto", "rowHeight": 0.8, "legend": {"showLegend": False}}


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    """Of a table: these columns in this order, and no other."""
    if not panel.columns:
        return []
    order = {label: place for place, (label, _) in enumerate(panel.columns)}
    return [
        {"id": "filterFieldsByName", "options": {"include": {"names": list(order)}}},
        {"id": "organize", "options": {"indexByName": order, "renameByName": dict(panel.columns)}},
    ]


def text() -> str:
    """The file, byte for byte."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
