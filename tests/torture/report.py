"""What a run has shown: one line of JSON, and the tables of RELIABILITY.md."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.torture.faults_process import KILLS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.torture.running import Report

BEGIN, END = "<!-- {}: written by make torture -->", "<!-- end of {} -->"
KILL_NAMES = {fault.name for fault in KILLS}


def summary(report: Report) -> dict[str, Any]:
    """The numbers of a run, of all its bridges together."""
    found = report.findings.values()
    return {
        "seed": report.plan.seed,
        "minutes": round(report.minutes, 1),
        "kills": report.tally["kills"],
        "rebalances": report.tally["rebalances"],
        "broker_restarts": report.tally["broker_restarts"],
        "faults": sum(count for name, count in report.effects.items() if name not in KILL_NAMES),
        "messages": sum(one.messages for one in found),
        "lost": sum(len(one.lost) for one in found),
        "duplicate_instances": sum(len(one.duplicate_instances) for one in found),
        "duplicate_events": sum(one.duplicate_events for one in found),
        "order_violations": sum(len(one.order_violations) for one in found),
        "worst_recovery_seconds": round(max(report.recoveries.values(), default=0.0), 1),
    }


def json_line(report: Report) -> str:
    """With what went wrong, where something did."""
    return json.dumps({**summary(report), **({"problems": list(report.problems)} if report.problems else {})})


def write(path: Path, report: Report) -> None:
    """Put a run's tables into the file, in the place of those of the run before."""
    _replace(path, "run", f"{_totals(report)}\n\n{_outboxes(report)}\n\n{_faults(report)}")


def write_rows(path: Path, part: str, rows: Mapping[str, Any]) -> None:
    """The same, of the rebalance storm or the block."""
    _replace(path, part, _table(["", ""], [[name, str(value)] for name, value in rows.items()]))


def _totals(report: Report) -> str:
    numbers = summary(report)
    labels = {"faults": "other faults that had an effect", "worst_recovery_seconds": "worst recovery, seconds"}
    return _table(["", ""], [[labels.get(name, name.replace("_", " ")), str(value)] for name, value in numbers.items()])


def _outboxes(report: Report) -> str:
    head = ["outbox", "messages", "lost", "instances twice", "out of order", "events repeated", "allowed"]
    rows = [
        [
            name,
            str(one.messages),
            str(len(one.lost)),
            str(len(one.duplicate_instances)),
            str(len(one.order_violations)),
            str(one.duplicate_events),
            str(one.allowed_events),
        ]
        for name, one in report.findings.items()
    ]
    return _table(head, rows)


def _faults(report: Report) -> str:
    rows = [
        [name, str(struck), str(report.effects[name]), _seconds(report.recoveries, name)]
        for name, struck in sorted(report.strikes.items())
    ]
    return _table(["fault", "struck", "seen to have an effect", "worst recovery, seconds"], rows)


def _seconds(recoveries: Mapping[str, float], name: str) -> str:
    return f"{recoveries[name]:.1f}" if name in recoveries else "-"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _replace(path: Path, name: str, text: str) -> None:
    """Raises ValueError where the file has no such place."""
    begin, end = BEGIN.format(name), END.format(name)
    before, _, rest = path.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{path} has no place for {name}: {begin} … {end}")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
