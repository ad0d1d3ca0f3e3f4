"""``workflow-bridge explain`` as it is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from bridge.dead_letters.kept import encode
from bridge.message import Message
from bridge.outbox.base import DeadLetter, StoredDeadLetter

if TYPE_CHECKING:
    from typer.testing import Result

EXAMPLE = Path(__file__).parents[2] / "config" / "kafka.yaml"
ORDER = {"source": "orders", "body": {"type": "order.created", "order_id": "A-1", "total": 5, "lines": []}}


def invoke(*arguments: object, stdin: str | None = None) -> Result:
    command = ["explain", "--config", str(EXAMPLE), *map(str, arguments)]
    return CliRunner().invoke(app, command, input=stdin, catch_exceptions=False)


def test_a_message_of_a_file_is_explained(tmp_path: Path) -> None:
    """No secret, disk or broker of the configuration is needed; exit 0, as a rule matches."""
    file = tmp_path / "message.json"
    file.write_text(json.dumps(ORDER, indent=2))
    result = invoke(file)
    assert result.exit_code == 0, result.output
    assert "2. order-created: matches" in result.stdout
    assert "if_exists skip, give_up_after 1d" in result.stdout


def test_as_json_it_is_one_object() -> None:
    """For pipelines: rules in order, with what each makes."""
    result = invoke("-", "--json", stdin=json.dumps(ORDER))
    found = json.loads(result.stdout)
    assert [rule["verdict"] for rule in found["rules"][:2]] == ["does not match", "matches"]
    assert found["rules"][1]["makes"]["calls"][0]["body"]["params"] == ORDER["body"]
    assert [call["instance_id"] for call in found["result"]["calls"]] == ["order-A-1"]


def test_nothing_matching_is_exit_1() -> None:
    """So is a dead letter."""
    assert invoke("-", stdin='{"source": "orders", "body": {"type": "x"}}').exit_code == 1
    assert invoke("-", stdin='{"source": "payments", "body": "no JSON"}').exit_code == 1


def test_a_file_of_many_messages_is_told_as_one(tmp_path: Path) -> None:
    """What `record` wrote is for `backtest`; a line of it can be explained."""
    file = tmp_path / "recorded.jsonl"
    file.write_text(f"{json.dumps(ORDER)}\n{json.dumps(ORDER)}\n")
    result = invoke(file)
    assert (result.exit_code, "holds several, one a line: give one of them" in result.stderr) == (2, True)
    file.write_text("{\n]")
    assert "several" not in invoke(file).stderr


def test_a_line_of_dead_letters_can_be_given() -> None:
    """What ``dead-letters list --json`` prints."""
    message = Message("orders", "shop.orders/0/7", "shop.orders", None, [], b'{"type":"x"}', 1, {"offset": 7})
    letter = encode(StoredDeadLetter(7, DeadLetter(message, "unmatched", "", died_ms=1)))
    result = invoke("-", stdin=letter.decode())
    assert result.stdout.startswith("message shop.orders/0/7 of source orders\n")


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        ((), None, "say which message"),
        (("-", "--offset", 5), "{}", "say which message"),
        (("-",), "{", "not JSON"),
        (("-",), "{}", "say which source"),
        (("-",), '{"source": "x"}', "source: no source 'x'; there are orders, payments"),
        (("-", "--source", "orders"), '{"bodi": 1}', "bodi: a message has no 'bodi'; is body meant?"),
        (("nowhere.json",), None, "No such file"),
    ],
)
def test_what_cannot_be_explained_is_exit_2(arguments: tuple[object, ...], stdin: str | None, said: str) -> None:
    """With the reason."""
    result = invoke(*arguments, stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
