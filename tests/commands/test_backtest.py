"""``workflow-bridge backtest``: recorded messages against one configuration or two."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from bridge.cli import app

if TYPE_CHECKING:
    from typer.testing import Result

EXAMPLE = Path(__file__).parents[2] / "config" / "kafka.yaml"


def invoke(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["backtest", *map(str, arguments)], input=stdin, catch_exceptions=False)


def order(number: int, **more: object) -> str:
    body = {"type": "order.created", "order_id": f"A-{number}", "total": 5, "lines": [], **more}
    return json.dumps({"source": "orders", "attributes": {"offset": number}, "body": body}) + "\n"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """14 orders, a test message, one that nothing is for, one that is no JSON, and a payment."""
    file = tmp_path / "recorded.jsonl"
    others = (
        '{"source": "orders", "headers": {"x-test": "1"}, "body": {}}\n\n'
        '{"source": "orders", "body": {"type": "x"}}\n{"source": "orders", "body": "{"}\n'
        '{"source": "payments", "body": {"type": "payment.received", "order_id": "A-1", "amount": 1, "at": "now"}}\n'
    )
    file.write_text("".join(order(number) for number in range(14)) + others)
    return file


def changed(folder: Path, old: str, new: str) -> Path:
    file = folder / "changed.yaml"
    text = EXAMPLE.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


def test_what_would_be_called_is_counted(recorded: Path) -> None:
    """By rule, operation and workflow; dead letters, drops and what no rule matches too."""
    result = invoke(recorded, "--config", EXAMPLE, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "new": {
            "messages": 18,
            "calls": [
                {"rule": "order-created", "operation": "create", "workflow": "fulfil-order", "calls": 14},
                {"rule": "payment-received", "operation": "event", "workflow": "fulfil-order", "calls": 1},
            ],
            "dead_letters": [{"rule": "", "reason": "undecodable", "count": 1}],
            "dropped": {"test message": 1},
            "unmatched": 1,
        }
    }
    shown = invoke(recorded, "--config", EXAMPLE).stdout.split("\n")
    assert shown[0] == "18 messages, 15 calls"
    assert "         14  create fulfil-order  by order-created" in shown


def test_what_changes_between_two_is_told(tmp_path: Path, recorded: Path) -> None:
    """In sentences, by rule, and with examples; exit 1."""
    new = changed(
        tmp_path,
        'workflow: fulfil-order\n      id: "order-${body.order_id}" #',
        'workflow: ship\n      id: "order-${body.order_id}" #',
    )
    result = invoke(recorded, "--config", new, "--against", EXAMPLE, "--show", 2)
    assert result.exit_code == 1, result.output
    assert "14 of 18 messages fare otherwise\n  14 messages would start other workflows\n" in result.stdout
    assert "message shop.orders/0/0 of source orders\n  order-created: create workflow\n" in result.stdout
    assert "  - => create fulfil-order/order-A-0 at target main" in result.stdout
    assert "  + => create ship/order-A-0 at target main" in result.stdout
    assert result.stdout.endswith("… and 12 more: --show N\n")
    data = json.loads(invoke(recorded, "--config", new, "--against", EXAMPLE, "--json").stdout)
    assert data["by_rule"] == [{"rule": "order-created", "operation": "create", "what": "workflow", "count": 14}]
    assert (data["differing"], len(data["samples"])) == (14, 5)


def test_nothing_changes_is_exit_0(recorded: Path) -> None:
    """Against itself."""
    result = invoke("-", "--config", EXAMPLE, "--against", EXAMPLE, stdin=recorded.read_text())
    assert (result.exit_code, result.stdout.split("\n")[-2]) == (0, "nothing changes")


def test_messages_of_a_source_that_is_gone_are_not_called_for(tmp_path: Path, recorded: Path) -> None:
    """They count as dropped, and as a change."""
    new = changed(tmp_path, "  payments:\n    type", "  paid:\n    type").read_text()
    (tmp_path / "changed.yaml").write_text(
        new.replace("from: payments", "from: paid").replace("orders, payments", "orders")
    )
    data = json.loads(invoke(recorded, "--config", tmp_path / "changed.yaml", "--against", EXAMPLE, "--json").stdout)
    assert data["new"]["dropped"] == {"no_source": 1, "test message": 1}
    assert data["changes"] == ["1 message would send no more events that they do now", "1 message would be dropped"]


def test_what_sources_do_not_let_through_is_counted(tmp_path: Path) -> None:
    """As the bridge would count it: what is too old when it arrives, which is now or when it is said, and too large."""
    limits = "    ignore_older_than: 7d\n    max_message_bytes: 1024\n"
    new = changed(tmp_path, "\n  payments:\n", f"{limits}\n  payments:\n")
    recorded = tmp_path / "recorded.jsonl"
    old = json.loads(order(1)) | {"timestamp": "2026-03-01T00:00:00Z"}
    recorded.write_text(json.dumps(old) + "\n" + order(2, fill="x" * 1024))
    now = invoke(recorded, "--config", new, "--json")
    assert json.loads(now.stdout)["new"] == {
        "messages": 2,
        "calls": [],
        "dead_letters": [{"rule": "", "reason": "too_large", "count": 1}],
        "dropped": {"too_old": 1},
        "unmatched": 0,
    }
    assert "1  ignored: too old on arrival (--arrival)" in invoke(recorded, "--config", new).stdout
    then = invoke(recorded, "--config", new, "--against", EXAMPLE, "--arrival", "2026-03-02T00:00:00Z", "--json")
    found = json.loads(then.stdout)
    assert (found["new"]["dropped"], found["old"]["dropped"], found["differing"]) == ({}, {}, 1)
    wrong = invoke(recorded, "--config", new, "--arrival", "yesterday")
    assert (wrong.exit_code, "--arrival is a time such as" in wrong.output) == (2, True)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("{}\n", "-:1: say which source"),
        (order(1) + "\n{\n", "-:3: not JSON"),
        (order(1) + '{"source": "x"}\n', "-:2: source: no source 'x'"),
    ],
)
def test_a_wrong_line_is_named(lines: str, said: str) -> None:
    """With its number; exit 2."""
    result = invoke("-", "--config", EXAMPLE, stdin=lines)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(said)


def test_a_file_of_any_size_takes_the_same_memory(tmp_path: Path) -> None:
    """Ten times the messages, no more than a few megabytes more at the peak."""
    small, large = tmp_path / "small", tmp_path / "large"
    line = order(1, text="x" * 1000)
    small.write_text(line * 2_000)
    large.write_text(line * 20_000)
    invoke(small, "--config", EXAMPLE)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = invoke(large, "--config", EXAMPLE)
    assert result.stdout.startswith("20,000 messages, 20,000 calls")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024  # kilobytes
