"""The pages that users read say what the code does: every example, table and name in them is tried."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson
import pytest

from bridge.call import NORMAL, Operation, first_body, second_body
from bridge.cloudflare.responses import Meaning
from bridge.config import examine
from bridge.config.markdown import metrics_table
from bridge.dispatch import outcome
from bridge.dispatch.outcome import Step
from bridge.dispatch.reporting import TOLD_APART
from bridge.errors import MissingField, RuleError
from bridge.message import Message
from bridge.outbox.base import Verdict
from bridge.routing.expression import ExpressionError, compile  # noqa: A004  named like re.compile
from bridge.routing.functions import FUNCTIONS, METHODS
from bridge.routing.macros import MACROS
from bridge.routing.template import TemplateError, compile_json
from bridge.routing.times import format_timestamp, parse_timestamp
from bridge.routing.values import Timestamp, Value, equal, type_name
from bridge.routing.variables import MessageNames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.call import Call
    from bridge.routing.router import Routed
    from tests.config.files import Folder

ROOT = Path(__file__).parents[2]
RULES = (ROOT / "config" / "rules.md").read_text()
METRICS = (ROOT / "config" / "metrics.md").read_text()
EMULATOR = (ROOT / "bridge" / "emulator" / "README.md").read_text()

AROUND = """\
targets: {main: {account_id: abc, api_token_file: token}}
sources:
  orders: {type: kafka, bootstrap_servers: ["kafka:9092"], topics: [shop.orders], group_id: bridge}
  payments: {type: rabbitmq, url: "amqp://localhost:5672/", queue: payments, single_active_consumer: true}
outbox: {path: outbox.db}
vars: {region: eu}
rules:
"""
MOMENT = "2026-01-31T09:30:00Z"
NOW_MS = parse_timestamp(MOMENT).ns // 1_000_000
HEADERS = (("tenant", b"acme"), ("x-test", b"1"), ("hop", b"a"), ("hop", b"b"))
NAMES = MessageNames({"region": "eu"}).names({"orders"}, {"orders"})


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of every fenced block, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def tables(page: str) -> Iterator[list[dict[str, str]]]:
    """The rows of each table by their columns' names."""
    for lines in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        head, _, *rows = (cells(line) for line in lines.splitlines())
        yield [dict(zip(head, row, strict=True)) for row in rows]


def cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line[1:-1])]


def rows(page: str, *columns: str) -> list[dict[str, str]]:
    """The rows of all tables that have these columns."""
    found = [row for table in tables(page) for row in table if set(columns) <= set(row)]
    assert found
    return found


def code(cell: str) -> str:
    """What stands between the backticks of a cell that is nothing else; "" for any other."""
    match = re.fullmatch(r"(`+) ?(.*?) ?\1", cell)
    return match[2] if match else ""


def spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


SAMPLE = next(text for language, text in blocks(RULES) if language == "json").strip()


def message(body: str) -> Message:
    """The message that the guide describes, with another body."""
    attributes = {"partition": 3, "offset": 42}
    return Message(
        "orders", "shop.orders/3/42", "shop.orders", b"17", HEADERS, body.strip().encode(), NOW_MS, attributes
    )


class Example(NamedTuple):
    """Rules, the body that they see, and the lines that the guide says come of it; None: it says nothing."""

    rules: str
    body: str
    result: str | None


def examples() -> list[Example]:
    found: list[Example] = []
    for language, text in blocks(RULES):
        if language == "yaml":
            found.append(Example(text, SAMPLE, None))
        elif language == "json" and found:
            found[-1] = found[-1]._replace(body=text)
        elif language == "text":
            found[-1] = found[-1]._replace(result=text)
    return found


def told(routed: Routed) -> Iterator[str]:
    """A result in the words of the guide."""
    yield from (told_call(call) for _, call in routed.calls)
    yield from (f"dropped ({reason})" for reason in routed.dropped)
    yield from (f"dead letter ({dead.reason}) {dead.detail}" for dead in routed.dead)


def told_call(call: Call) -> str:
    event_type = call.event_type if call.operation is Operation.EVENT else ""
    place = "/".join(filter(None, (call.workflow, call.instance_id, event_type)))
    due = format_timestamp(Timestamp(call.not_before_ms * 1_000_000))
    notes = [
        f"(not before {due})" if call.not_before_ms else "",
        f"(lane {call.lane})" if call.lane else "",
        "" if call.priority == NORMAL else f"(priority {('high', 'normal', 'low')[call.priority]})",
    ]
    second = second_body(call.body).decode()
    if second:
        second = f"or event {call.event_type} {second}" if call.operation is Operation.CREATE else f"or create {second}"
    return " ".join(filter(None, (call.operation, place, *notes, first_body(call.body).decode(), second)))


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.rules.splitlines()[0][8:])
def test_every_example_of_a_rule_does_what_the_guide_says(example: Example, folder: Folder) -> None:
    """It loads as part of a configuration, and gives the calls that stand below it."""
    folder.write(AROUND + example.rules)
    routed = folder.load().router().route("orders", [message(example.body)], [orjson.loads(example.body)], NOW_MS)
    if example.result is None:
        assert routed.errors == {}
    else:
        assert "\n".join(told(routed)) == example.result.strip()


def evaluated(text: str) -> Value:
    return compile(text, NAMES).function(message(SAMPLE), orjson.loads(SAMPLE))


@pytest.mark.parametrize("row", rows(RULES, "expression", "value"), ids=lambda row: row["expression"])
def test_every_expression_has_the_value_that_stands_beside_it(row: dict[str, str]) -> None:
    """Value and type; the words error and missing stand for the two ways to have none."""
    if code(row["value"]):
        actual, expected = evaluated(code(row["expression"])), evaluated(code(row["value"]))
        assert type_name(actual) == type_name(expected)
        assert equal(actual, expected), f"it is {actual!r}"
        return
    with pytest.raises(RuleError) as caught:
        evaluated(code(row["expression"]))
    assert isinstance(caught.value, MissingField) is {"missing": True, "error": False}[row["value"]]


@pytest.mark.parametrize("row", rows(RULES, "expression", "refusal"), ids=lambda row: row["expression"])
def test_what_is_left_out_of_cel_is_refused_in_these_words(row: dict[str, str]) -> None:
    """When it is compiled, not when a message comes."""
    with pytest.raises(ExpressionError) as caught:
        evaluated(code(row["expression"]))
    assert row["refusal"] in str(caught.value)


GIVES = "of `params` and `payload` gives"


@pytest.mark.parametrize("row", rows(RULES, "template", GIVES), ids=lambda row: row["template"])
def test_every_template_gives_what_stands_beside_it(row: dict[str, str]) -> None:
    """The very bytes of the JSON; the words refused and fails stand for the two ways to have none."""

    def rendered() -> bytes:
        return compile_json(code(row["template"]), NAMES)(message(SAMPLE), orjson.loads(SAMPLE))

    if code(row[GIVES]):
        assert rendered().decode() == code(row[GIVES])
        return
    with pytest.raises({"refused": TemplateError, "fails": RuleError}[row[GIVES]]):
        rendered()


@pytest.mark.parametrize("row", rows(RULES, "in a rule", "refusal"), ids=lambda row: row["in a rule"])
def test_what_cannot_be_meant_is_refused_in_these_words(row: dict[str, str], folder: Folder) -> None:
    """By the loader, with the rule as the place."""
    folder.write(f"{AROUND}- name: early\n  {code(row['in a rule'])}\n")
    (problem,) = folder.refuse()
    assert row["refusal"] in problem


@pytest.mark.parametrize("row", rows(RULES, "rules", "warning"), ids=lambda row: row["warning"])
def test_what_check_warns_about_is_warned_about_in_these_words(row: dict[str, str], folder: Folder) -> None:
    """That one thing, and nothing else; the configuration is right all the same."""
    each = re.split(r"(?<=\}), \{", code(row["rules"]).removeprefix("{"))
    folder.write(AROUND + "".join(f"- {{name: r{place}, {text}\n" for place, text in enumerate(each)))
    found = examine("bridge.yaml", folder.environ)
    assert found.problems == []
    (warning,) = found.warnings
    assert row["warning"] in warning.message


def named_functions() -> dict[str, str]:
    """Every function of the guide's table with the example in its row."""
    found = {}
    for row in rows(RULES, "function", "expression"):
        for signature in spans(row["function"]):
            name = signature.partition("(")[0]
            found[name if name in FUNCTIONS else name.rpartition(".")[2]] = code(row["expression"])
    return found


def test_the_guide_names_every_function_and_no_other() -> None:
    """What the compiler knows, each with an example that calls it; what it refuses is not among them."""
    unsupported = {name for name, write in MACROS.items() if write is MACROS["transformMap"]}
    known = {"has", *FUNCTIONS, *METHODS, *MACROS} - unsupported
    assert named_functions().keys() == known
    twins = {"base64.encode": "base64", "existsOne": "exists_one"}
    for name, example in named_functions().items():
        assert f"{twins.get(name, name)}(" in example


def test_the_guide_names_every_variable() -> None:
    """Those of a rule, and those of a for_each."""
    named = {name for row in rows(RULES, "variable") for name in spans(row["variable"])}
    assert named == {*NAMES.variables, "item", "index"}


def reasons_in_code() -> set[str]:
    """Where dead letters are made, the reason is a constant; those of the API's answers are in the outcome table."""
    found = {
        known.value
        for row in outcome.TABLE.values()
        for known, cell in row.items()
        if isinstance(known, Meaning) and Step.DEAD in (cell.values() if isinstance(cell, dict) else (cell,))
    }
    for _, call in calls_in("intake.py", "routing", "dispatch"):
        if called(call) in {"Rejected", "RenderError", "DeadLetter"} and len(call.args) > 1:
            found |= {str(constant.value) for constant in call.args[1:2] if isinstance(constant, ast.Constant)}
        if called(call) == "RenderError" and len(call.args) == 1:
            found.add("render_error")
        if called(call) == "_replace":
            found |= {
                str(word.value.value)
                for word in call.keywords
                if word.arg == "reason" and isinstance(word.value, ast.Constant)
            }
    return found


def test_the_guide_names_every_reason_of_a_dead_letter() -> None:
    """And none that does not exist."""
    named = {reason for row in rows(RULES, "reason", "when") for reason in spans(row["reason"])}
    assert named == reasons_in_code()


def calls_in(*names: str) -> Iterator[tuple[ast.Module, ast.Call]]:
    """Every call in these files and folders of the package."""
    for name in names:
        place = ROOT / "bridge" / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            module = ast.parse(path.read_text())
            yield from ((module, node) for node in ast.walk(module) if isinstance(node, ast.Call))


def called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def test_the_page_of_metrics_has_the_table_of_the_code() -> None:
    """Made by ``workflow-bridge schema --metrics``, whole and in its order."""
    assert metrics_table() in METRICS


def test_the_page_of_metrics_names_every_outcome_of_a_call() -> None:
    """The verdicts, and what dispatch tells apart from delivered."""
    sentence = re.search(r"^- `outcome` of `deliveries_total`: (.*?)\.\n", METRICS, re.DOTALL | re.MULTILINE)
    words = set(re.findall(r"`(\w+)`", sentence[1])) if sentence else set()
    assert words == {*Verdict, *TOLD_APART}


LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def log_events() -> dict[str, tuple[set[str], set[str]]]:
    """Levels and fields of every line that the package logs, by its event."""
    found: defaultdict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for module, call in calls_in(""):
        if isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS and ast.unparse(call.func.value) == "log":
            for event in event_names(module, call.args[0]):
                found[event][0].add("error" if call.func.attr == "exception" else call.func.attr)
                found[event][1].update(str(word.arg) for word in call.keywords)
    return found


def event_names(module: ast.Module, name: ast.expr) -> list[str]:
    """A constant; or one of a module's table of events, looked up when it is logged."""
    if isinstance(name, ast.Constant):
        return [str(name.value)]
    held = [
        node.value for node in module.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_EVENTS"
    ]
    assert len(held) == 1
    return [str(value.value) for value in getattr(held[0], "values", ()) if isinstance(value, ast.Constant)]


def test_the_page_of_metrics_names_every_log_event() -> None:
    """With its levels and its fields; and none that does not exist."""
    named = {
        code(row["event"]): (set(row["level"].split(", ")), set(spans(row["fields"])))
        for row in rows(METRICS, "event", "fields")
    }
    assert named == log_events()


def test_no_log_event_has_a_field_that_its_line_has_anyway() -> None:
    """The line's own would be written in its place."""
    taken = {"timestamp", "level", "event", "logger"}
    assert {event: fields & taken for event, (_, fields) in log_events().items() if fields & taken} == {}


def test_the_page_of_metrics_names_every_probe() -> None:
    """The paths of the health listener."""
    named = {code(row["path"]) for row in rows(METRICS, "path")}
    server = (ROOT / "bridge" / "admin" / "server.py").read_text()
    assert named == set(re.findall(r'^            "(/\w+)": self\.', server, re.MULTILINE))


def test_the_target_in_the_page_of_the_emulator_loads(folder: Folder) -> None:
    """As part of a configuration."""
    (target,) = [text for language, text in blocks(EMULATOR) if language == "yaml" and "targets:" in text]
    folder.write(target + AROUND.partition("\n")[2] + "- {name: all, create: {workflow: fulfil-order}}\n")
    assert folder.load().targets["main"].base_url == "http://127.0.0.1:8787/client/v4"
