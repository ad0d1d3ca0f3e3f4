"""Every alert fires when it should and stays silent when it should not, as promtool plays it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from bridge.metrics import TABLE
from tests.services.presence import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HELM = Path(__file__).parents[2] / "helm"
RULES = HELM / "alerts" / "workflow-bridge.rules.yaml"
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


class Case(NamedTuple):
    """Series as promtool writes them (one value every ``step``), and when the alert is looked at."""

    fires: Mapping[str, str]
    silent: Mapping[str, str]
    at: str = "1h"
    step: str = "1m"


def series(name: str, **labels: str) -> str:
    """A series of our job."""
    inner = ",".join(f'{key}="{value}"' for key, value in {"job": "workflow-bridge", **labels}.items())
    return f"workflow_bridge_{name}{{{inner}}}"


def ends(dead: int, delivered: int, values: int) -> dict[str, str]:
    """So many calls that died and were delivered with each step; all in time."""
    calls = {"rule": "r", "operation": "create"}
    return {
        series("deliveries_total", outcome="dead", **calls): f"0+{dead}x{values}",
        series("deliveries_total", outcome="delivered", **calls): f"0+{delivered}x{values}",
    }


def late(late_calls: int, in_time: int, values: int) -> dict[str, str]:
    """So many calls that came late and in time with each step; none died."""
    both = late_calls + in_time
    return {
        series("end_to_end_duration_seconds_bucket", operation="create", le="60.0"): f"0+{in_time}x{values}",
        series("end_to_end_duration_seconds_count", operation="create"): f"0+{both}x{values}",
        **ends(0, both, values),
    }


def gauge(name: str, on: int, off: int = 0, **labels: str) -> Case:
    """A number that stays at ``on`` for the alert, and at ``off`` where all is well."""
    return Case({series(name, **labels): f"{on}x60"}, {series(name, **labels): f"{off}x60"})


def paused(reason: str, workflow: str = "w") -> Case:
    """A pause; a pause for another reason is none of this alert's."""
    labels = {"target": "main", "workflow": workflow}
    return Case(
        {series("paused", reason=reason, **labels): "1x60"}, {series("paused", reason="another", **labels): "1x60"}
    )


LAG = {"source": "orders", "partition": "shop/0"}
READY = series("outbox_entries", state="ready")
RECEIVED = series("source_messages_received_total", source="orders")
ERRORED = series("instances_errored_total", rule="r")
CREATED = series("deliveries_total", rule="r", operation="create", outcome="delivered")
DEAD = {"rule": "r", "reason": "rejected"}
PAUSED_RULE = 'workflow_bridge_operator_paused{job="workflow-bridge",kind="rule",name="r"}'
CASES = {
    "WorkflowBridgeDeadCallsFast": Case(ends(2, 98, 90), ends(1, 199, 90), "75m"),
    "WorkflowBridgeDeadCallsSlow": Case(ends(1, 99, 90), ends(1, 399, 90), "7h", "5m"),
    "WorkflowBridgeDeadCallsTicket": Case(ends(1, 199, 160), ends(1, 499, 160), "26h", "10m"),
    "WorkflowBridgeDeadCallsTrickle": Case(ends(1, 499, 160), ends(1, 1999, 160), "76h", "30m"),
    "WorkflowBridgeLateCallsFast": Case(late(20, 80, 90), late(10, 90, 90), "75m"),
    "WorkflowBridgeLateCallsSlow": Case(late(10, 90, 90), late(4, 96, 90), "7h", "5m"),
    "WorkflowBridgeLateCallsTicket": Case(late(5, 95, 160), late(2, 98, 160), "26h", "10m"),
    "WorkflowBridgeLateCallsTrickle": Case(late(2, 98, 160), late(1, 199, 160), "76h", "30m"),
    "WorkflowBridgeNothingDelivered": Case({READY: "5x60", **ends(0, 0, 60)}, {READY: "5x60", **ends(0, 1, 60)}),
    "WorkflowBridgeSourceBehind": gauge("source_lag_seconds", 1000, 800, **LAG),
    "WorkflowBridgeLagGrows": Case(
        {series("source_lag_messages", **LAG): "20000+100x90"},
        {series("source_lag_messages", **LAG): "20000-100x90"},
        "80m",
    ),
    "WorkflowBridgeDown": Case({'up{job="workflow-bridge"}': "0x60"}, {'up{job="workflow-bridge"}': "1x60"}),
    "WorkflowBridgeAbsent": Case({'up{job="workflow-bridge"}': "1x60"}, {series("build_info", version="1"): "1x60"}),
    "WorkflowBridgeRestarts": Case(
        {'process_start_time_seconds{job="workflow-bridge"}': "0+300x60"},
        {'process_start_time_seconds{job="workflow-bridge"}': "0x29 1800x30"},
    ),
    "WorkflowBridgeTokenRefused": paused("unauthorized", ""),
    "WorkflowBridgeWorkflowMissing": paused("workflow_missing"),
    "WorkflowBridgeRejectionsInARow": paused("rejected"),
    "WorkflowBridgeQuotaBlocked": paused("rate_limited", ""),
    "WorkflowBridgeQuotaUsedUp": Case(
        {series("throttled_seconds_total", target="main", reason="budget"): "0+59x240"},
        {series("throttled_seconds_total", target="main", reason="budget"): "0+30x240"},
        "4h",
    ),
    "WorkflowBridgeSourceDisconnected": Case(
        {series("source_connected", source="orders"): "0x60", series("source_paused", source="orders"): "0x60"},
        {series("source_connected", source="orders"): "0x60", series("source_paused", source="orders"): "1x60"},
    ),
    "WorkflowBridgePausedByOperator": Case(
        {PAUSED_RULE: "1x90"},
        {PAUSED_RULE: "_x30 1x60"},
        at="13h",
        step="10m",
    ),
    "WorkflowBridgeSourceWaits": gauge("source_waiting", 1, source="orders"),
    "WorkflowBridgeOutboxFull": gauge("source_held_up", 1, source="orders"),
    # The first letter of its kind makes its series: there was no 0 before it.
    "WorkflowBridgeDeadLetters": Case(
        {series("dead_letters_total", **DEAD): "_x50 1x10"}, {series("dead_letters_total", **DEAD): "1x60"}
    ),
    "WorkflowBridgeDeadLettersFull": Case(
        {series("dead_letter_bytes"): "95x60", series("dead_letter_capacity_bytes"): "100x60"},
        {series("dead_letter_bytes"): "95x60", series("dead_letter_capacity_bytes"): "0x60"},
    ),
    "WorkflowBridgeLanesBlocked": gauge("blocked_lanes", 2),
    "WorkflowBridgeRuleErrors": Case(
        {series("rule_errors_total", rule="r"): "0+20x60", RECEIVED: "0+100x60"},
        {series("rule_errors_total", rule="r"): "0+5x60", RECEIVED: "0+100x60"},
    ),
    "WorkflowBridgeInstancesErrored": Case(
        {ERRORED: "0x30 0+1x60", CREATED: "0+10x90"}, {ERRORED: "0x30 0+1x60", CREATED: "0+30x90"}, "75m"
    ),
    "WorkflowBridgeConfigRefused": gauge("config_last_reload_successful", 0, 1, instance="a"),
}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        missing("promtool (Debian's package prometheus)")
    assert found is not None
    return found


def played(promtool: str, folder: Path, tests: Sequence[Mapping[str, object]], step: str = "1m") -> str:
    """What promtool says against these tests, with the rules evaluated each ``step``; "" when they all hold."""
    file = folder / f"tests-{step}.yaml"
    content = {"rule_files": [str(RULES)], "evaluation_interval": step, "tests": list(tests)}
    file.write_text(yaml.safe_dump(content))
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, timeout=300, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def promtool_test(name: str, values: Mapping[str, str], case: Case, *, firing: bool) -> dict[str, object]:
    expr = f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
    return {
        "name": f"{name} {'fires' if firing else 'is silent'}",
        "interval": case.step,
        "input_series": [{"series": key, "values": value} for key, value in values.items()],
        "promql_expr_test": [
            {"expr": expr, "eval_time": case.at, "exp_samples": [{"labels": "{}", "value": 1}] if firing else []}
        ],
    }


def test_every_alert_fires_and_stays_silent(promtool: str, tmp_path: Path) -> None:
    """Each by series of its own, those of the objectives over their whole windows."""
    assert CASES.keys() == ALERTS.keys()
    for step in {case.step for case in CASES.values()}:
        tests = [
            promtool_test(name, values, case, firing=firing)
            for name, case in CASES.items()
            for values, firing in ((case.fires, True), (case.silent, False))
            if case.step == step
        ]
        assert not played(promtool, tmp_path, tests, step)


def test_one_dead_call_at_night_wakes_nobody(promtool: str, tmp_path: Path) -> None:
    """A third of three calls is no rate."""
    case = Case({}, {}, "75m")
    quiet = {
        series("deliveries_total", outcome=outcome, rule="r", operation="create"): f"0x30 {count}x60"
        for outcome, count in (("dead", 1), ("delivered", 2))
    }
    assert not played(promtool, tmp_path, [promtool_test("WorkflowBridgeDeadCallsFast", quiet, case, firing=False)])


@pytest.mark.parametrize(
    "values", [{ERRORED: "0x40 1x40"}, {ERRORED: "_x40 1x40"}, {ERRORED: "0x40 1x40", CREATED: "9x80"}]
)
def test_one_failed_instance_is_told_where_few_are_made(promtool: str, tmp_path: Path, values: dict[str, str]) -> None:
    """Also where none was made lately, and where the bridge is new and its first count is all that there is."""
    case = Case({}, {}, "75m")
    assert not played(promtool, tmp_path, [promtool_test("WorkflowBridgeInstancesErrored", values, case, firing=True)])


def test_an_alert_that_should_fire_and_does_not_is_noticed(promtool: str, tmp_path: Path) -> None:
    """The test above can fail."""
    case = CASES["WorkflowBridgeLanesBlocked"]
    assert "WorkflowBridgeLanesBlocked" in played(
        promtool, tmp_path, [promtool_test("WorkflowBridgeLanesBlocked", case.silent, case, firing=True)]
    )


def test_the_words_of_an_alert_are_filled_in(promtool: str, tmp_path: Path) -> None:
    """Labels and values come into the description."""
    case = CASES["WorkflowBridgeLanesBlocked"]
    rule = ALERTS["WorkflowBridgeLanesBlocked"]
    description = "2 lanes of workflow-bridge wait until somebody releases or discards the dead letter before them."
    expected = {
        "exp_labels": {"severity": "ticket", "job": "workflow-bridge"},
        "exp_annotations": {**rule["annotations"], "description": description},
    }
    test = {
        "interval": case.step,
        "input_series": [{"series": key, "values": value} for key, value in case.fires.items()],
        "alert_rule_test": [{"eval_time": "1h", "alertname": "WorkflowBridgeLanesBlocked", "exp_alerts": [expected]}],
    }
    assert not played(promtool, tmp_path, [test])


def test_a_refused_token_says_what_it_is_refused_for(promtool: str, tmp_path: Path) -> None:
    """All of the target, or one operation, while the others go on."""
    whole = "Target main of workflow-bridge is paused, because the API refuses its token. Calls wait, nothing is lost."
    one = (
        "Operation event of target main of workflow-bridge is paused, because the API refuses its token for it."
        " Its calls wait, others go on, nothing is lost."
    )
    labels = {"target": "main", "workflow": "", "reason": "unauthorized"}
    name = "WorkflowBridgeTokenRefused"
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": series("paused", operation=operation, **labels), "values": "1x60"}],
            "alert_rule_test": [{"eval_time": "1h", "alertname": name, "exp_alerts": [worded(name, said, operation)]}],
        }
        for operation, said in (("", whole), ("event", one))
    ]
    assert not played(promtool, tmp_path, tests)


def worded(name: str, description: str, operation: str) -> dict[str, object]:
    """An alert of target main, for this operation or for all of them."""
    labels = {"severity": "page", "job": "workflow-bridge", "target": "main"}
    return {
        "exp_labels": labels | ({"operation": operation} if operation else {}),
        "exp_annotations": {**ALERTS[name]["annotations"], "description": description},
    }


def test_the_rules_pass_the_linter(promtool: str) -> None:
    """Also for what promtool only warns of."""
    command = [promtool, "check", "rules", "--lint=all", "--lint-fatal", str(RULES)]
    assert not subprocess.run(command, capture_output=True, timeout=60, check=False).returncode


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    """Severity, summary, description, and a section of the runbook under its own name."""
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    address, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert address.endswith("/helm/runbook.md")
    assert anchor == name.lower()
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", (HELM / "runbook.md").read_text(), re.DOTALL | re.MULTILINE)
    assert section is not None
    assert len(section[1].split()) > 25, "a section that says what to look at and what to do"


def metric_names() -> Iterator[str]:
    """Of the table, histograms with their three suffixes."""
    for row in TABLE:
        yield row.name
        if row.type == "histogram":
            yield from (f"{row.name}_{suffix}" for suffix in ("bucket", "sum", "count"))


def test_every_metric_that_an_alert_names_exists() -> None:
    """A renamed metric does not leave an alert behind that can never fire."""
    named = set(re.findall(r"\bworkflow_bridge_\w+", RULES.read_text()))
    assert named
    assert named <= set(metric_names())
