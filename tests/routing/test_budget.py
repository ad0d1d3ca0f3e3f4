"""No message makes an expression run on, or fills the memory with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.errors import RuleError
from bridge.routing.budget import STEPS
from bridge.routing.expression import compile  # noqa: A004  named like re.compile
from bridge.routing.template import compile_json
from bridge.routing.variables import MessageNames
from tests.routing.messages import message

if TYPE_CHECKING:
    from bridge.routing.values import Value

NAMES = MessageNames({}).names({"orders"}, {"orders"})
ORDINARY = {"lines": [{"sku": f"s-{place}", "qty": place % 7} for place in range(10_000)], "note": "n" * 5_000}


def hostile() -> Value:
    """A body of about one mebibyte: long lists, a long text, a map."""
    members = {str(place): 1 for place in range(3_000)}
    return {"a": list(range(60_000)), "s": "x" * 400_000, "t": ["aé" * 3] * 20_000, "m": members}


EXPRESSIONS = [
    "body.a.map(x, body.a.map(y, body.a.map(z, z)))",
    "body.a.all(x, x in body.a)",
    "body.a.all(x, !([x] in body.a))",
    "body.a.all(x, body.a == body.a)",
    "body.a.all(x, body.s < body.s + 'x')",
    "body.a.all(x, !body.s.contains('y'))",
    "body.a.all(x, !body.s.matches('(a|x)*y'))",
    "body.a.map(x, body.s + string(x))",
    "body.a.map(x, string(x) + body.s + body.s)",
    "body.a.map(x, body.s.split(''))",
    "body.a.map(x, body.s.lowerAscii())",
    "body.a.map(x, body.s.substring(x))",
    "body.a.map(x, bytes(body.s))",
    "body.a.filter(x, body.m.exists(k, k == 'zz'))",
    "body.a.map(x, json(body))",
    "body.a.map(x, body.a + body.a)",
    "json(body.a.map(x, body))",
    "hash(body.a.map(x, body.t))",
    "'%s'.format([body.a.map(x, body)])",
    "body.a.map(x, body.s).join('')",
    "body.a.map(x, body.m) == body.a.map(x, body.m)",
    "json([body].map(a, [a,a,a,a,a,a,a,a].map(b, [b,b,b,b,b,b,b,b].map(c, [c,c,c,c,c,c,c,c].map(d, [d,d,d,d])))))",
    "[body.s].map(a, [a+a+a+a+a+a+a+a].map(b, [b+b+b+b+b+b+b+b].map(c, [c+c+c+c+c+c+c+c].map(d, d+d+d+d+d+d))))",
    "optional.of(body.s)" + ".optMap(a, a + a)" * 40,
]
TEMPLATES = ["${body.a.map(x, body)}", "${body.a.map(x, {'all': body.t, 'x': x})}"]


def attempts() -> list[str]:
    """What each of the above comes to."""
    body = hostile()
    sent = message(json.dumps(body).encode())
    made = [compile(text, NAMES).function for text in EXPRESSIONS]
    found = []
    for function in [*made, *(compile_json({"p": text}, NAMES) for text in TEMPLATES)]:
        try:
            found.append(f"a {type(function(sent, body)).__name__}")
        except RuleError as error:
            found.append(str(error))
    return found


def test_a_hostile_body_costs_seconds_at_most_and_little_memory() -> None:
    """With 60 seconds of CPU and 800 MiB of addresses for all, every one ends with the budget's own error."""
    limited = (
        "import resource, sys; from tests.routing.test_budget import attempts;"
        "resource.setrlimit(resource.RLIMIT_CPU, (60, 60)); resource.setrlimit(resource.RLIMIT_AS, (800 << 20,) * 2);"
        "print(*attempts(), sep='\\n')"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, cwd=root, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    outcomes = dict(zip([*EXPRESSIONS, *TEMPLATES], run.stdout.splitlines(), strict=True))
    assert {text: outcome for text, outcome in outcomes.items() if "this costs too much" not in outcome} == {}


@pytest.mark.parametrize(
    "expression",
    [
        "size(body.lines.filter(l, l.qty > 3).map(l, l.sku)) > 0",
        "body.lines.all(l, l.qty in [0, 1, 2, 3, 4, 5, 6] && l.sku.startsWith('s-') && l.sku != body.note)",
        "body.lines.exists(l, ['x', 'y', l.sku].exists(s, s == 's-9999'))",
        "json(body.lines.map(l, {'sku': l.sku, 'note': 'ok'})) != ''",
    ],
)
def test_ordinary_work_is_within_the_budget(expression: str) -> None:
    """Ten thousand lines are filtered, looked up and rendered."""
    assert compile(expression, NAMES).function(message(), ORDINARY) is True


def test_every_evaluation_has_the_whole_budget() -> None:
    """What one used up is nobody else's loss, and what is at the limit passes."""
    just = compile("size(l.map(x, x)) == size(l)")
    too_much = compile("l.map(x, l.map(y, y))")
    for _ in range(2):
        assert just.evaluate({"l": [0] * STEPS}) is True
        with pytest.raises(RuleError, match="costs too much"):
            too_much.evaluate({"l": [0] * 2_000})
    with pytest.raises(RuleError, match="costs too much"):
        just.evaluate({"l": [0] * (STEPS + 1)})
