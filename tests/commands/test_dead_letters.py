"""``workflow-bridge dead-letters`` on real outbox files, of a running outbox and of one at rest."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from bridge.outbox.base import DeadLetter, Verdict
from tests.config.files import Folder, changed
from tests.outbox.subjects import START_MS, Subject, call, intake_of, message, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from typer.testing import Result

ROOT = Path(__file__).parents[2]
BODY = b'{"price": 1.10,\r\n "big": 36893488147419103232, "name": "\xc3\xa9", "n": []}'
HEADERS: list[tuple[str, Any]] = [
    ("trace", b"\xff\x00"),
    ("x", b"one"),
    ("x", b"two"),
    ("text", "t\x1b[31m"),
    ("int", 7),
    ("huge", 1 << 70),
    ("float", 1.5),
    ("nan", float("nan")),
    ("bool", True),
    ("none", None),
]


def letter(number: int, reason: str = "undecodable", **changes: Any) -> DeadLetter:
    detail = changes.pop("detail", "not JSON")
    rendered = changes.pop("call", None)
    return DeadLetter(message(number, **changes), reason, detail, "", rendered, died_ms=START_MS + number)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Subject]:
    """An open outbox, as a running bridge has it."""
    subject = Subject("sqlite", tmp_path)
    await subject.outbox.open()
    yield subject
    await subject.outbox.close()


async def bury(subject: Subject, *letters: DeadLetter) -> None:
    receipt = await subject.outbox.add(intake_of(dead=letters))
    await soon(receipt.wait())


def invoke(*arguments: object, **environment: str) -> Result:
    return CliRunner(env={"COLUMNS": "", **environment}).invoke(
        app, ["dead-letters", *map(str, arguments)], catch_exceptions=False
    )


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.split("\n") if line]


async def test_a_letter_as_json_is_its_whole_original(running: Subject) -> None:
    """Body to the byte and as JSON in its own spelling, key, headers in order with types, coordinates, call."""
    (whole, entry) = message(7, BODY, HEADERS, key=b"\xfe"), call("order-7")
    await running.store((whole, entry))
    (stored,) = await running.pending()
    await running.settle(Verdict.DEAD, stored, reason="rejected", detail="the API said no")
    result = invoke("list", "--outbox", running.path, "--json")
    (found,) = lines(result)
    original = found["message"]
    assert original["body"]["text"].encode() == BODY
    assert '"price": 1.10,' in result.stdout.partition('"json":')[2]
    assert original["body"]["json"]["big"] == 36893488147419103232
    assert (original["key"], original["id"], original["channel"]) == (
        {"base64": "/g=="},
        "shop.orders/0/7",
        "shop.orders",
    )
    assert original["attributes"] == {"partition": 0, "offset": 7}
    assert original["timestamp_ms"] == START_MS - 993
    assert [tuple(header.values()) for header in original["headers"]] == [
        ("trace", "bytes", base64.b64encode(b"\xff\x00").decode()),
        ("x", "bytes", "one"),
        ("x", "bytes", "two"),
        ("text", "text", "t\x1b[31m"),
        ("int", "int", 7),
        ("huge", "int", str(1 << 70)),
        ("float", "float", 1.5),
        ("nan", "float", "nan"),
        ("bool", "bool", True),
        ("none", "null", None),
    ]
    assert (found["reason"], found["detail"], found["rule"]) == ("rejected", "the API said no", "order-created")
    assert (found["attempts"], found["died_at"]) == (1, "2023-11-14T22:13:20.000Z")
    assert found["call"]["body"]["json"] == {"id": "order-7"}
    assert found["call"]["policy"] == {"rule": "order-created"}
    assert (found["call"]["operation"], found["call"]["instance_id"]) == ("create", "order-7")
    (again,) = lines(invoke("show", found["number"], "--outbox", running.path, "--json"))
    assert again == found


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, None),
        (b"", {"text": ""}),
        (b"not\njson", {"text": "not\njson"}),
        (b"\xff\xfe", {"base64": "//4="}),
        ("\u2028\x85".encode(), {"text": "\u2028\x85"}),
        (b" [1]\n", {"text": " [1]\n", "json": [1]}),
        (b'"\\ud800"', {"text": '"\\ud800"'}),
    ],
)
async def test_every_body_can_be_had_back(running: Subject, body: bytes | None, expected: object) -> None:
    """A tombstone is null; what is UTF-8 is text, the rest base64; each letter stays on one line."""
    await bury(running, letter(1, body=body))
    (found,) = lines(invoke("list", "--outbox", running.path, "--json"))
    assert found["message"]["body"] == expected


async def test_the_list_can_be_paged_and_filtered(running: Subject) -> None:
    """``--after``, ``--limit`` and ``--reason`` together, over more letters than are read at once."""
    reasons = ["rejected" if number % 50 == 0 else "undecodable" for number in range(1, 251)]
    await bury(running, *(letter(number, reason) for number, reason in enumerate(reasons, 1)))

    def numbers(*arguments: object) -> list[int]:
        return [found["number"] for found in lines(invoke("list", "--outbox", running.path, "--json", *arguments))]

    assert numbers("--limit", 1000) == list(range(1, 251))
    assert numbers() == list(range(1, 101))
    assert numbers("--after", 248) == [249, 250]
    assert numbers("--reason", "rejected") == [50, 100, 150, 200, 250]
    assert numbers("--reason", "rejected", "--after", 100, "--limit", 2) == [150, 200]
    assert numbers("--reason", "expired") == []


async def test_the_table_shows_what_a_person_looks_for(running: Subject) -> None:
    """Number, time, reason, source, message, instance, detail; and how to see the rest."""
    rendered = call("order-2")
    await bury(running, letter(1), letter(2, "rejected", call=rendered, detail="[bold]no\x1b[2J"), letter(3))
    result = invoke("list", "--outbox", running.path, "--limit", 2)
    assert result.exit_code == 0
    header, first, second = result.stdout.splitlines()
    assert header.split() == ["number", "time", "reason", "rule", "source", "message", "instance", "detail"]
    assert first.split() == [
        *("1", "2023-11-14T22:13:20.001Z", "undecodable", "orders", "shop.orders/0/1", "not", "JSON")
    ]
    assert second.split()[4:] == ["shop.orders/0/2", "fulfil-order/order-2", "[bold]no\\x1b[2J"]
    assert result.stderr == "there are more: --after 2\n"


async def test_a_letter_is_shown_to_be_read(running: Subject) -> None:
    """The body is laid out and keeps its spelling; nothing of a message reaches the terminal as a command."""
    await bury(running, letter(1, "rejected", body=BODY, headers=HEADERS, key=None, call=call("order-1")))
    result = invoke("show", 1, "--outbox", running.path)
    assert result.exit_code == 0
    shown = result.stdout.splitlines()
    assert shown[0] == "dead letter 1"
    body = shown[shown.index(f"body ({len(BODY)} bytes)") + 1 :][:6]
    assert body == [
        "    {",
        '      "price": 1.10,',
        '      "big": 36893488147419103232,',
        '      "name": "é",',
        '      "n": []',
        "    }",
    ]
    assert "  reason    rejected" in shown
    assert "  offset        1" in shown
    assert "  trace (bytes): /wA= (base64)" in shown
    assert "  text (text): t\\x1b[31m" in shown
    assert "  instance_id  order-1" in shown
    assert "  died_at   2023-11-14T22:13:20.001Z" in shown
    assert "  redelivered   no" in shown
    assert [line for line in shown if "_ms" in line or "{'" in line] == []
    assert "\x1b" not in result.stdout


async def test_a_tombstone_is_shown_as_one(running: Subject) -> None:
    """No body is not an empty body."""
    await bury(running, letter(1, body=None), letter(2, body=b""))
    assert "body: none, a tombstone" in invoke("show", 1, "--outbox", running.path).stdout.splitlines()
    assert "body (0 bytes)" in invoke("show", 2, "--outbox", running.path).stdout.splitlines()


async def test_there_is_no_such_number(running: Subject) -> None:
    """Exit 1, and nothing on standard output."""
    await bury(running, letter(1))
    result = invoke("show", 2, "--outbox", running.path)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "there is no dead letter 2\n")


async def test_no_letters_is_no_error(running: Subject) -> None:
    """Exit 0: an empty list for programs, a word for people."""
    result = invoke("list", "--outbox", running.path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no dead letters\n")
    assert lines(invoke("list", "--outbox", running.path, "--json")) == []
    chosen = invoke("list", "--outbox", running.path, "--reason", "undecodible")
    assert (chosen.exit_code, chosen.stderr) == (0, "no dead letters are of this kind\n")


def test_what_cannot_be_read_is_exit_code_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No outbox named, no file, a file that is something else: the text says what to do."""
    monkeypatch.delenv("WORKFLOW_BRIDGE_CONFIG", raising=False)
    (tmp_path / "text.db").write_text("no database" * 100)
    (tmp_path / "new.db").touch()
    for arguments, expected in {
        (): "say which outbox: --outbox FILE",
        ("--outbox", tmp_path / "none.db"): f"there is no outbox file {tmp_path / 'none.db'}",
        ("--outbox", tmp_path / "text.db"): "is damaged",
        ("--outbox", tmp_path / "new.db"): "holds no outbox yet",
        ("--outbox", tmp_path): "there is no outbox file",
        ("--config", tmp_path / "none.yaml"): "cannot be read",
    }.items():
        for command in (["list"], ["show", 1]):
            result = invoke(*command, *arguments)
            assert (result.exit_code, result.stdout) == (2, ""), result.output
            assert expected in result.stderr


def test_the_configuration_names_the_outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By option or by environment; under the memory outbox the text says where the letters are."""
    folder = Folder(tmp_path, monkeypatch)
    folder.load({"outbox": {"path": "mine.db"}})
    assert "there is no outbox file mine.db" in invoke("list", "--config", "bridge.yaml").stderr
    assert "there is no outbox file mine.db" in invoke("list", WORKFLOW_BRIDGE_CONFIG="bridge.yaml").stderr
    assert "there is no outbox file other.db" in invoke("list", "-c", "bridge.yaml", "--outbox", "other.db").stderr
    kafka = {"type": "kafka", "bootstrap_servers": ["kafka:9092"], "topic": "buried"}
    url = tmp_path / "url"
    url.write_text("amqp://user:planted@rabbit/")
    rabbit = {"type": "rabbitmq", "url_file": str(url)}
    for place, expected in (
        ({"to": kafka}, "they are in the Kafka topic buried at kafka:9092"),
        ({"to": {**rabbit, "exchange": "dlx", "routing_key": "r"}}, "RabbitMQ exchange dlx with the routing key 'r'"),
        ({"to": {**rabbit, "routing_key": "buried"}}, "they are in the RabbitMQ queue buried"),
        ("discard", "they are discarded"),
    ):
        folder.load({"outbox": {"type": "memory"}, "dead_letters": place})
        result = invoke("list", "--config", "bridge.yaml")
        assert (result.exit_code, result.stdout) == (2, "")
        assert expected in result.stderr
        assert "planted" not in result.stderr


def test_a_wrong_configuration_lists_its_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says how to do without it: on the machine of an operator there may be no token."""
    folder = Folder(tmp_path, monkeypatch)
    folder.write(json.dumps(changed({"targets.main.api_token_file": "gone"})))
    result = invoke("list", "--config", "bridge.yaml")
    assert result.exit_code == 2
    assert "targets.main.api_token_file" in result.stderr
    assert result.stderr.splitlines()[-1] == "without a right configuration name the file: --outbox FILE"


async def test_it_works_beside_a_process_that_has_the_outbox(running: Subject) -> None:
    """A process of its own reads the letters while this one holds the lock; and after it, when it is at rest."""
    await bury(running, letter(1))
    command = [sys.executable, "-m", "bridge", "dead-letters", "list", "--outbox", str(running.path), "--json"]

    def run() -> list[int]:
        done = subprocess.run(
            command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=True
        )
        return [json.loads(line)["number"] for line in done.stdout.splitlines()]

    assert run() == [1]
    await bury(running, letter(2))
    assert run() == [1, 2]
    await running.outbox.close()
    assert run() == [1, 2]


async def test_what_is_redacted_is_not_shown(running: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the list as JSON nor on the page of one; ``export`` has it, and so has who names the file itself."""
    folder = Folder(tmp_path, monkeypatch)
    folder.load({"outbox": {"path": str(running.path)}, "redact": ["card", "headers.trace"]})
    body = b'{"card": "4111-1111", "price": 1.10}'
    await bury(running, letter(1, body=body, headers=[("trace", b"4111-1111"), ("ratio", 1.5)]))
    for arguments in (("list", "--json"), ("show", 1), ("show", 1, "--json")):
        shown = invoke(*arguments, "--config", "bridge.yaml")
        assert (shown.exit_code, "4111" in shown.stdout) == (0, False), shown.output
        assert "[redacted]" in shown.stdout
        assert "1.10" in shown.stdout
        assert "1.5" in shown.stdout
        assert "4111" in invoke(*arguments, "--outbox", running.path).stdout
    assert "4111" in invoke("export", "--config", "bridge.yaml").stdout
