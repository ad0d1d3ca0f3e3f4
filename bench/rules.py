"""What rules cost: decisions through the router as intake makes them, templates to JSON, next to two CEL libraries.

No broker and no disk; bodies are parsed before, for the libraries too. The least CPU time of several rounds counts:
what a round takes more is the machine's other work.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import cel
import orjson
from cel_expr_python import cel as cel_cpp

from bench.load import body
from bridge.message import Message
from bridge.routing.router import Router, SourceInfo
from bridge.routing.settings import RuleSettings
from bridge.routing.template import compile_json
from bridge.routing.variables import MessageNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bridge.routing.values import Value

BATCH = 500  # messages that are routed at once
BATCHES = 20
ROUNDS = 15
MANY = 200
NOW_MS = 1_700_000_000_000
TEMPLATE = {
    "order": "${body.order_id}",
    "customer": "${body.customer.id}",
    "total": "${body.total}",
    "kind": "${body.kind}",
    "text": "order ${body.order_id} of ${body.type}",
}


class Measure(NamedTuple):
    """One line of the section."""

    name: str
    what: str
    us: float  # CPU microseconds per message
    aim: float  # the most that it may be, in the same unit; 0: a figure to compare with


def measures() -> Iterator[Measure]:
    """All of them, one after the other. Every message is matched by exactly one rule, which counts it."""
    mixed = [_message(number, number % MANY) for number in range(BATCH)]
    alike = [_message(number, 0) for number in range(BATCH)]
    one = _routed(_rules(1), alike)
    yield Measure("one", "one rule, body.kind == …", one, 1.0)
    yield Measure("many", f"{MANY} such rules, one of which matches", _routed(_rules(MANY), mixed), 1.5 * one)
    yield Measure("template", "five fields to JSON bytes", _rendered(mixed), 3.0)
    values = [orjson.loads(message.body or b"") for message in mixed]
    for count in (1, MANY):
        yield Measure(f"cpp-{count}", f"cel-expr-python (C++): conditions: {count}", _cpp(count, values), 0)
        yield Measure(
            f"rust-{count}", f"common-expression-language (Rust): conditions: {count}", _rust(count, values), 0
        )


def _message(number: int, kind: int) -> Message:
    text = orjson.dumps(orjson.loads(body(number)) | {"kind": f"kind-{kind}"})
    return Message("orders", f"t/0/{number}", "t", b"k", (), text, NOW_MS, {"partition": 0, "offset": number})


def _conditions(count: int) -> list[str]:
    return [f'body.kind == "kind-{number}"' for number in range(count)]


def _rules(count: int) -> list[RuleSettings]:
    conditions = enumerate(_conditions(count))
    return [RuleSettings.model_validate({"name": f"r{n}", "when": when, "drop": "d"}) for n, when in conditions]


def _routed(rules: Sequence[RuleSettings], messages: Sequence[Message]) -> float:
    values = [orjson.loads(message.body or b"") for message in messages]
    route = Router(rules, vars={}, sources=[SourceInfo("orders")], targets=["main"]).route

    def work() -> None:
        for _ in range(BATCHES):
            route("orders", messages, values, NOW_MS)

    return _least(work, BATCHES * len(messages))


def _rendered(messages: Sequence[Message]) -> float:
    render = compile_json(TEMPLATE, MessageNames({}).names({"orders"}, {"orders"}))
    pairs = [(message, orjson.loads(message.body or b"")) for message in messages]

    def work() -> None:
        for _ in range(BATCHES):
            for message, value in pairs:
                render(message, value)

    return _least(work, BATCHES * len(pairs))


def _cpp(count: int, values: Sequence[Value]) -> float:
    env = cel_cpp.NewEnv(variables={"body": cel_cpp.Type.DYN})
    programs = [env.compile(text) for text in _conditions(count)]

    def work() -> None:
        for value in values:
            activation = env.Activation({"body": value})
            for program in programs:
                program.eval(activation).value()

    return _least(work, len(values), rounds=2)


def _rust(count: int, values: Sequence[Value]) -> float:
    programs = [cel.compile(text) for text in _conditions(count)]

    def work() -> None:
        for value in values:
            context = cel.Context({"body": value})
            for program in programs:
                program.execute(context)

    return _least(work, len(values), rounds=2)


def _least(work: Callable[[], None], messages: int, rounds: int = ROUNDS) -> float:
    spent = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return min(spent) * 1e6 / messages
