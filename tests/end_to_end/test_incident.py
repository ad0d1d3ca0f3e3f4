"""A bad night: a revoked token, a workflow that is gone, poison; told apart by what a person can ask."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from tests.console.scene import ORDERS, RULES, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

PICK: dict[str, Any] = {
    "name": "line-picked",
    "from": "orders",
    "when": 'body.type == "line"',
    "create": {"workflow": "pick-line", "id": "${body.id}", "params": "${body}"},
}
POISON = [b"{not JSON", b"\xff\xfe", {"type": "line", "id": "a b"}, {"type": "nobody knows"}]


class Night:
    """The bridge, and somebody who is woken: a terminal, the admin API, the metrics; no log, no code."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def told(self) -> list[dict[str, str]]:
        """What the page begins with, once there is something."""
        notices: list[dict[str, str]] = self.scene.until("/overview", lambda seen: seen["notices"])["notices"]
        return notices

    def run(self, *arguments: object, given: str = "", expected: int = 0) -> str:
        """What a command prints, in one line for each of its lines."""
        command = [*map(str, arguments), "--config", str(self.scene.bridge.config_file)]
        token = {"WORKFLOW_BRIDGE_TARGETS__MAIN__API_TOKEN": self.scene.emulator.token}
        environment = {**token, "WORKFLOW_BRIDGE_OPERATOR": "ann", "COLUMNS": "300"}
        done = CliRunner(env=environment).invoke(app, command, input=given)
        assert done.exit_code == expected, done.output
        return "\n".join(" ".join(line.split()) for line in done.output.splitlines())

    def rows(self, *arguments: object) -> list[dict[str, Any]]:
        """The same of a command that lists, as values."""
        return [json.loads(line) for line in self.run(*arguments, "--json").splitlines()]

    def metric(self, name: str, **labels: str) -> float | None:
        """A sample of /metrics; None: there is none."""
        inner = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        return self.scene.bridge.metrics().get(f"workflow_bridge_{name}" + (f"{{{inner}}}" if inner else ""))

    def delivered(self, rule: str, count: int) -> None:
        """Wait until so many calls of a rule have been carried out."""
        place = [one["name"] for one in [*RULES, PICK]].index(rule)
        self.scene.until("/rules", lambda seen: seen["rules"][place]["outcomes"].get("delivered") == count)

    def waiting(self, calls: int) -> None:
        """Wait until so many calls are ready, and the metric says the same."""
        self.scene.until("/overview", lambda seen: seen["backlog"]["ready"] == calls)
        assert self.metric("outbox_entries", state="ready") == calls

    def quiet(self) -> None:
        """Nothing wants a person, and nothing is paused or waits."""
        self.scene.until("/overview", lambda seen: not seen["notices"] and not seen["paused"])
        self.waiting(0)
        assert self.run("status").startswith("nothing wants you\n")


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    """Three orders have been delivered, and all is well."""
    with Scene(tmp_path, rules=[*RULES, PICK]) as scene:
        night = Night(scene)
        scene.produce(ORDERS, *map(scene.order, range(3)))
        night.delivered("order-created", 3)
        night.quiet()
        yield night


def test_a_bad_night_can_be_understood(night: Night) -> None:
    """Each of three incidents is told by page, metrics and commands; what was done about it is told afterwards."""
    the_token_is_revoked(night)
    a_workflow_is_missing(night)
    poison_comes_in(night)
    assert [deed["what"] for deed in night.rows("audit")] == ["redrive", "edit"]
    assert {deed["who"] for deed in night.rows("audit")} == {"ann"}
    assert "is it spelt right?" in night.run("pause", "workflow", "pick-lime", "--reason", "typed at night")
    assert "spelt" not in night.run("pause", "workflow", "pick-line", "--reason", "mended in the morning")


def without_time(detail: str) -> str:
    """What is said of a pause, whenever it began."""
    return re.sub(r"since \d\d:\d\d UTC", "since TIME UTC", detail)


def assert_status(night: Night, notice: dict[str, str], line: str) -> None:
    """A terminal is told the same as the page, and as JSON."""
    said = night.run("status", expected=1)
    assert said.startswith(f"{notice['severity']}: {notice['title']}\n{notice['detail']}\n{notice['advice']}\n")
    assert line in said
    assert json.loads(night.run("status", "--json", expected=1))["notices"] == [notice]


def the_token_is_revoked(night: Night) -> None:
    """The target is paused, calls wait, nothing dies; with a valid token they go out."""
    night.scene.emulator.fault(do="unauthorized")
    night.scene.produce(ORDERS, *map(night.scene.order, range(3, 8)))
    (notice,) = night.told()
    assert (notice["severity"], notice["title"]) == ("critical", "Calls to main are paused")
    assert without_time(notice["detail"]) == (
        "The API refuses the token, or the account id. (unauthorized, since TIME UTC)"
        " It said: Authentication error (code 10000, HTTP 403)."
    )
    assert_status(night, notice, "waiting 5 ready, 0 later, 0 parked")
    assert notice["advice"].startswith("Put a valid token into the target's api_token_file;")
    assert night.metric("paused", reason="unauthorized", target="main", workflow="", operation="") == 1
    night.waiting(5)
    assert night.metric("dead_letter_entries") == 0
    assert night.metric("source_connected", source="orders") == 1, "the brokers are not to blame"
    assert "no operator has paused anything" in night.run("pauses")
    checked = night.run("check", "--online", expected=4)
    assert "FAIL target main: workflow fulfil-order: Authentication error (code 10000, HTTP 403)" in checked
    assert "the token is refused: it needs the right to read and edit Workflows of this account" in checked
    night.scene.emulator.clear_faults()
    night.delivered("order-created", 8)
    night.quiet()


def a_workflow_is_missing(night: Night) -> None:
    """It alone is paused; another one goes on."""
    night.scene.emulator.fault(do="no-workflow", workflow="fulfil-order")
    night.scene.produce(ORDERS, *map(night.scene.order, range(8, 10)), {"type": "line", "id": "line-1"})
    (notice,) = night.told()
    assert (notice["severity"], notice["title"]) == ("critical", "Calls to main / fulfil-order are paused")
    assert without_time(notice["detail"]) == (
        "The API does not know this workflow. (workflow_missing, since TIME UTC)"
        " It said: workflows.api.error.workflow.not_found (code 10200, HTTP 404)."
    )
    assert_status(night, notice, "orders kafka reading")
    held = {rule["name"]: rule["held"] for rule in night.scene.get("/rules")["rules"]}
    assert {name for name, reason in held.items() if reason} == {"order-created", "payment-received"}
    assert held["order-created"] == "workflow_missing"
    assert notice["advice"].startswith("Deploy it, or correct its name in the rule;")
    assert night.metric("paused", reason="workflow_missing", target="main", workflow="fulfil-order", operation="") == 1
    night.delivered("line-picked", 1)
    night.waiting(2)
    checked = night.run("check", "--online", expected=4)
    assert "FAIL target main: workflow fulfil-order: workflows.api.error.workflow.not_found (code 10200" in checked
    assert "deploy it, or correct the name in the rules" in checked
    assert "ok target main: workflow pick-line: is there, the token is accepted" in checked
    night.scene.emulator.clear_faults()
    night.delivered("order-created", 10)
    night.quiet()


def poison_comes_in(night: Night) -> None:
    """Between two good orders: these are delivered, each bad message says why it was not, and one is mended."""
    scene = night.scene
    scene.produce(ORDERS, scene.order(10), *POISON, scene.order(11))
    scene.until("/overview", lambda seen: seen["backlog"]["dead_letters"] == len(POISON))
    night.delivered("order-created", 12)
    (notice,) = night.told()
    assert (notice["severity"], notice["title"]) == ("warning", "There are dead letters")
    assert notice["detail"] == (
        "4 kept, with their messages. Since the start: 2 undecodable, 1 unmatched, 1 invalid_id of rule line-picked."
    )
    assert_status(night, notice, "4 dead letters")
    assert night.metric("dead_letters_total", reason="undecodable", rule="") == 2
    assert night.metric("dead_letters_total", reason="invalid_id", rule="line-picked") == 1
    assert night.metric("dead_letters_total", reason="unmatched", rule="") == 1
    listed = night.run("dead-letters", "list")
    assert "undecodable orders shop.orders/" in listed
    assert "not JSON: unexpected character, expected a string key at character 1" in listed
    assert "the instance id 'a b' is not 1 to 100 letters, digits, _ and -" in listed
    assert "no rule matches, and the source says dead-letter" in listed
    (bad_id,) = night.rows("dead-letters", "list", "--reason", "invalid_id")
    number, message = bad_id["number"], bad_id["message"]["id"]
    dead = night.rows("ledger", "--outcome", "dead")
    assert len(dead) == len(POISON)
    assert message in {row["message_id"] for row in dead}
    mended = json.dumps({"message": {"body": {"type": "line", "id": "a-b"}}})
    night.run("dead-letters", "edit", number, "--from", "-", given=mended)
    night.run("dead-letters", "redrive", number)
    night.delivered("line-picked", 2)
    assert scene.emulator.instance("pick-line", "a-b") is not None
    (row,) = night.rows("ledger", "--instance", "a-b")
    assert (row["message_id"], row["rule"], row["outcome"]) == (message, "line-picked", "delivered")
    assert night.metric("dead_letter_entries") == len(POISON) - 1
