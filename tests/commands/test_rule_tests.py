"""``workflow-bridge test``: rule tests in the configuration and beside it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from bridge import recorded
from bridge.cli import app

if TYPE_CHECKING:
    from typer.testing import Result

EXAMPLES = Path(__file__).parents[2] / "config"
RULES = """\
targets: {main: {account_id: "00000000000000000000000000000000"}}
sources:
  orders: {type: kafka, bootstrap_servers: ["b:9092"], topics: [shop.orders], group_id: g}
rules:
  - name: start
    when: body.type == "created"
    create: {workflow: fulfil, id: "order-${body.id}", params: {id: "${body.id}", n: [1, "${body.n}"]}}
  - name: tell
    when: body.type == "paid"
    delay: 10m
    priority: high
    lane: string(body.id)
    event: {workflow: fulfil, id: "order-${body.id}", type: paid, payload: {amount: "${body.n}"}}
  - {name: away, when: body.type == "test", drop: a test}
"""
PAID = "{body: {type: paid, id: 1, n: 2}}"
CREATED = "{body: {type: created, id: 1, n: 2}}"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["test", *map(str, arguments)], catch_exceptions=False)


def result_of(folder: Path, cases: str, *arguments: object) -> Result:
    """Cases in a file beside the rules."""
    rules = folder / "rules.yaml"
    rules.write_text(RULES)
    (folder / "rules.test.yaml").write_text(f"tests:\n{cases}")
    return invoke("--config", rules, *arguments)


def one(folder: Path, message: str, expect: str) -> Result:
    return result_of(folder, f"  - {{name: a case, message: {message}, expect: {expect}}}\n")


def test_the_examples_of_the_repository_pass() -> None:
    """As do those of users: no secret, no disk and no broker is needed."""
    result = invoke("--config", EXAMPLES / "kafka.yaml")
    assert (result.exit_code, result.stdout) == (0, "6 passed\n"), result.output


def test_the_page_about_tests_is_true(tmp_path: Path) -> None:
    """Its tests pass with the example that they are about, and its messages are messages of it."""
    page = (EXAMPLES / "testing.md").read_text()
    (cases,) = re.findall(r"```yaml\n(tests:.*?)```", page, re.DOTALL)
    (tmp_path / "page.test.yaml").write_text(cases)
    result = invoke("--config", EXAMPLES / "kafka.yaml", tmp_path / "page.test.yaml")
    assert (result.exit_code, result.stdout) == (0, "3 passed\n"), result.output
    messages = [recorded.decode(text.encode()) for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    assert [found.message.source for found in messages] == ["orders", "orders"]
    assert messages[0].message.body is not None
    assert b'"total":12.10' in messages[0].message.body


@pytest.mark.parametrize(
    ("message", "expect"),
    [
        (CREATED, "{create: {workflow: fulfil, id: order-1, target: main, params: {id: 1, n: [1, 2.0]}}, rule: start}"),
        (CREATED, "[{create: {params_include: {id: 1}}}]"),
        (PAID, "{event: {type: paid, payload: {amount: 2}}, delay: 10m, priority: high, lane: '1'}"),
        (PAID[:-1] + ", timestamp: '2026-01-01T00:00:00Z'}", "{event: {}, not_before: '2026-01-01T00:10:00Z'}"),
        ("{body: {type: test}}", "drop"),
        ("{body: {type: test}}", "{drop: a test}"),
        ("{body: {type: other}}", "unmatched"),
        ("{body: {type: created}}", "{dead_letter: render_error, rule: start}"),
        ("{body: no JSON}", "{dead_letter: undecodable}"),
    ],
)  # fmt: skip
def test_what_is_as_expected_passes(tmp_path: Path, message: str, expect: str) -> None:
    """Calls, delays, drops, dead letters and messages that no rule matches."""
    result = one(tmp_path, message, expect)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("message", "expect", "said"),
    [
        (CREATED, "nothing", ["- nothing", '"create"']),
        (CREATED, "drop", ['"drop": true', '"create"']),
        (CREATED, "{create: {id: order-2}}", ["1. create: id", '- "order-2"', '+ "order-1"']),
        (CREATED, "{create: {params: {id: 1}}}", ["1. create: params", '+   "n": [']),
        (CREATED, "{create: {params: {id: true, n: [1, 2]}}}", ['-   "id": true', '+   "id": 1']),
        (CREATED, "{create: {params_include: {id: 2, x: 1}}}", ["1. create: params_include", '-   "x": 1']),
        (CREATED, "{create: {id: order-1}, rule: other}", ["1. rule", '- "other"', '+ "start"']),
        (CREATED, "[{create: {id: order-1}}, {create: {id: order-1}}]", ["2\n", "+ nothing"]),
        (PAID, "{event: {id: order-1}, delay: 5m}", ["1. delay", "- 300.0", "+ 600.0"]),
        (PAID, "{event: {payload: {amount: 2, _bridge: {}}}}", ['"rule": "tell"']),
        ("{body: {type: test}}", "{drop: other}", ['- "other"', '+ "a test"']),
        ("{body: {type: created}}", "{dead_letter: no_identity}", ['+ "render_error"', "create.id: no field"]),
        ("{body: {type: other}}", "drop", ['"unmatched": true']),
    ],
)  # fmt: skip
def test_what_is_not_fails_with_both_sides(tmp_path: Path, message: str, expect: str, said: list[str]) -> None:
    """With file and line, what was expected with - and what came out with +."""
    result = one(tmp_path, message, expect)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"FAILED {tmp_path}/rules.test.yaml:2: a case\n")
    for words in said:
        assert words in result.stdout


def test_mistakes_in_tests_are_told_with_their_lines(tmp_path: Path) -> None:
    """All of them at once; exit 2."""
    cases = (
        "  - name: a\n    message:\n      body: {}\n      headers:\n        - [a]\n    expect: drop\n"
        "  - {name: b, message: {source: nobody}, expect: drop}\n"
        "  - {name: c, arrival: soon, message: {}, expect: drop}\n"
    )
    result = result_of(tmp_path, cases)
    file = tmp_path / "rules.test.yaml"
    assert result.exit_code == 2
    assert result.stderr.split("\n")[:3] == [
        f"{file}:6: tests[0].message.headers[0]: write [name, value], or {{name: …, type: …, value: …}}",
        f"{file}:8: tests[1].message.source: no source 'nobody'; there are orders",
        f'{file}:9: tests[2].arrival: write a time such as "2026-03-01T12:00:00Z"',
    ]
    shapes = result_of(
        tmp_path, "  - {name: a, message: {}, expect: {drop: x, lane: y}}\n  - {name: b, expect: gone}\n"
    )
    assert shapes.exit_code == 2
    assert "rules.test.yaml:2: tests[0].expect: lane: about calls, and drop is none" in shapes.stderr
    assert "rules.test.yaml:3: tests[1].message" in shapes.stderr
    assert "write a list of expectations, or one of drop, dead_letter, unmatched, nothing" in shapes.stderr


def test_tests_stand_in_the_configuration_and_beside_every_file_of_it(tmp_path: Path) -> None:
    """``tests:`` of the main and included files, NAME.test.yaml beside each; each once, though a glob finds it too."""
    case = "tests: [{{name: {}, message: {{body: {{type: test}}}}, expect: drop}}]\n"
    (tmp_path / "more").mkdir()
    (tmp_path / "main.yaml").write_text(f"include: [more/*.yaml]\n{RULES}{case.format('in main')}")
    (tmp_path / "main.test.yaml").write_text(case.format("beside main"))
    (tmp_path / "more" / "a.yaml").write_text(case.format("included"))
    (tmp_path / "more" / "a.test.yaml").write_text(case.format("found twice"))
    (tmp_path / "other.test.yaml").write_text("nothing that anybody reads: [")
    result = invoke("--config", tmp_path / "main.yaml", "--json")
    found = json.loads(result.stdout)
    assert [test["name"] for test in found["tests"]] == ["in main", "found twice", "included", "beside main"]
    assert (result.exit_code, found["passed"], found["failed"]) == (0, 4, 0)


def test_a_source_that_is_wrong_itself_makes_no_test_wrong(tmp_path: Path) -> None:
    """One mistake is one problem."""
    case = "tests: [{name: a, message: {source: orders}, expect: drop}]\n"
    (tmp_path / "rules.yaml").write_text(RULES.replace("group_id: g", "group: g") + case)
    result = invoke("--config", tmp_path / "rules.yaml")
    assert result.exit_code == 2
    assert "tests" not in result.stderr


def test_some_can_be_chosen(tmp_path: Path) -> None:
    """By a part of the name; with none left that is a failure."""
    cases = "".join(f"  - {{name: {name}, message: {{}}, expect: unmatched}}\n" for name in ("one", "two", "twofold"))
    assert result_of(tmp_path, cases, "-k", "two").stdout == "2 passed\n"
    assert result_of(tmp_path, cases, "-k", "three").exit_code == 1


def test_ci_systems_read_the_results(tmp_path: Path) -> None:
    """JUnit's XML, with place and text of each failure."""
    cases = "  - {name: good, message: {}, expect: unmatched}\n  - {name: bad, message: {}, expect: drop}\n"
    result_of(tmp_path, cases, "--junit", tmp_path / "out.xml")
    suite = ET.parse(tmp_path / "out.xml").getroot()  # noqa: S314  our own
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    good, bad = suite.findall("testcase")
    assert good.find("failure") is None
    assert (bad.get("name"), bad.get("line")) == ("bad", "3")
    assert '"unmatched": true' in (bad.findtext("failure") or "")


def test_a_thousand_tests_take_less_than_five_seconds(tmp_path: Path) -> None:
    """Of CPU time, with reading the file."""
    cases = "".join(
        f"  - name: case {number}\n    message:\n      source: orders\n"
        f"      body: {{type: created, id: {number}, n: 2}}\n"
        f"    expect:\n      - create: {{workflow: fulfil, id: order-{number}, params: {{id: {number}, n: [1, 2]}}}}\n"
        for number in range(1000)
    )
    before = time.process_time()
    result = result_of(tmp_path, cases)
    assert (result.exit_code, result.stdout) == (0, "1000 passed\n")
    assert time.process_time() - before < 5


AGED = "{timestamp: 2026-03-01T00:00:00Z, body: {type: test}}"


@pytest.mark.parametrize(
    ("limit", "message", "more", "expect"),
    [
        ("ignore_older_than: 7d", AGED, "arrival: '2026-03-08T00:00:00Z'", "{drop: a test}"),
        ("ignore_older_than: 7d", AGED, "arrival: '2026-03-08T00:00:01Z'", "{drop: too_old}"),
        ("ignore_older_than: 7d", AGED, "", "{drop: a test}"),
        ("max_message_bytes: 1024", f"{{body: {{type: {'x' * 1024}}}}}", "", "{dead_letter: too_large}"),
    ],
)
def test_what_its_source_lets_through(tmp_path: Path, limit: str, message: str, more: str, expect: str) -> None:
    """A test knows as well as the bridge which messages no rule is asked about, and says why."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES.replace("group_id: g}", f"group_id: g, {limit}}}"))
    case = f"name: a case, message: {message}, {more + ', ' if more else ''}expect"
    (tmp_path / "rules.test.yaml").write_text(f"tests:\n  - {{{case}: {expect}}}\n  - {{{case}: unmatched}}\n")
    result = invoke("--config", rules)
    assert "1 passed, 1 failed" in result.stdout
    assert ("ignored: older than 7d" in result.stdout) == ("too_old" in expect)
    assert ("dead letter: the body has 1035 bytes" in result.stdout) == ("too_large" in expect)
