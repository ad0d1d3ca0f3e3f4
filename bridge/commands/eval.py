"""``workflow-bridge eval``: the value of an expression, without rules and without a broker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import orjson
import typer

from bridge.decoding.json import decode_json
from bridge.errors import NotAMessage, RuleError, Undecodable
from bridge.recorded import UNDECODED, decode
from bridge.routing.syntax import ExpressionError
from bridge.routing.trial import EvaluationError, evaluate, evaluate_on, place_of
from bridge.routing.typed import literal, typed

if TYPE_CHECKING:
    from typing import BinaryIO

    from bridge.routing.values import Value

FAILED, WRONG = 1, 2  # exit codes
LONGEST_LINE = 64 << 20  # bytes; a longer one is an error of its own, and is not kept in memory


Expression = Annotated[str | None, typer.Argument(metavar="EXPR", help="The expression; - reads it from the input.")]
BindingsFile = Annotated[
    Path | None, typer.Option("--bindings", "-b", help="File with a JSON object: the variables and their values.")
]
MessageFile = Annotated[
    Path | None,
    typer.Option("--message", "-m", help="File with a message, whose variables are those of rules."),
]
Lines = Annotated[
    bool, typer.Option("--lines", help='Read {"expr", "bindings"} a line, write {"type", "value"} or {"error"} each.')
]
AsJson = Annotated[bool, typer.Option("--json", help='Print {"type", "value"} or {"error"}.')]


def eval(  # noqa: A001  the command's name
    expression: Expression = None,
    *,
    message: MessageFile = None,
    bindings: BindingsFile = None,
    lines: Lines = False,
    json: AsJson = False,
) -> None:
    """Compute an expression. Exit 0: it has a value; 1: it has none; 2: it is no expression, or the input is wrong.

    With --lines: 0, whatever the lines hold.
    """
    if lines:
        if (expression, message, bindings) != (None, None, None):
            _refuse("--lines reads everything from its input; leave out the rest", as_json=json)
        _each_line(sys.stdin.buffer, sys.stdout.buffer)
        return
    if expression is None:
        _refuse("say which expression, or --lines", as_json=json)
    if message is not None and bindings is not None:
        _refuse("say either --message or --bindings", as_json=json)
    text = sys.stdin.read() if expression == "-" else expression
    try:
        value = evaluate(text, _bindings(bindings)) if message is None else _on(text, message)
        answer, shown = typed(value), f"{literal(value)}  ({typed(value)['type']})"
    except (EvaluationError, ExpressionError) as error:
        failed = isinstance(error, EvaluationError)
        why = _one_line(error) if json else str(error)
        _refuse(why, as_json=json, code=FAILED if failed else WRONG)
    except (RuleError, Undecodable, NotAMessage, OSError) as error:
        _refuse(str(error), as_json=json)
    print(orjson.dumps(answer).decode() if json else shown)


def _refuse(message: str, *, as_json: bool, code: int = WRONG) -> NoReturn:
    if as_json:
        print(orjson.dumps({"error": message}).decode())
    else:
        typer.echo(message, err=True)
    raise typer.Exit(code)


def _one_line(error: EvaluationError | ExpressionError) -> str:
    return f"{place_of(error.text, error.position)}: {error.message}"


def _on(text: str, file: Path) -> Value:
    recorded = decode(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    body = decode_json(recorded.message.body) if recorded.value is UNDECODED else recorded.value
    return evaluate_on(text, recorded.message, body)


def _bindings(file: Path | None) -> dict[str, Value]:
    if file is None:
        return {}
    found = decode_json(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    if not isinstance(found, dict):
        raise Undecodable(f'{file}: the bindings must be a JSON object, such as {{"x": 1}}')
    return found


def _each_line(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer every line with a line; a bad one with its error."""
    while line := source.readline(LONGEST_LINE):
        if not line.endswith(b"\n") and len(line) == LONGEST_LINE:
            while (rest := source.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            answer: Value = {"error": f"the line is longer than {LONGEST_LINE} bytes"}
        else:
            answer = _answer(line)
        sink.write(orjson.dumps(answer) + b"\n")
        sink.flush()


def _answer(line: bytes) -> dict[str, Value]:
    try:
        asked = decode_json(line)
        if not isinstance(asked, dict) or not isinstance(asked.get("expr"), str):
            return {"error": 'a line is a JSON object such as {"expr": "x + 1", "bindings": {"x": 1}}'}
        bindings = asked.get("bindings") or {}
        if not isinstance(bindings, dict):
            return {"error": "bindings must be an object of names and values"}
        return typed(evaluate(asked["expr"], bindings))
    except (EvaluationError, ExpressionError) as error:
        return {"error": _one_line(error)}
    except (RuleError, Undecodable) as error:
        return {"error": str(error)}
