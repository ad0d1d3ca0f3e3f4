"""One expression, tried outside of the rules: its value, or what is wrong and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.errors import RuleError
from bridge.routing.expression import compile, compile_node  # noqa: A004  named like re.compile
from bridge.routing.macros import MACROS
from bridge.routing.names import ANY_NAMES
from bridge.routing.syntax import Apply, ExpressionError, Select, parts_of, pointer
from bridge.routing.typed import given
from bridge.routing.variables import MessageNames

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.message import Message
    from bridge.routing.names import Names
    from bridge.routing.syntax import Node
    from bridge.routing.values import Value


class EvaluationError(RuleError):
    """An expression that has no value.

    message: why. text: the whole expression. position: of the part at fault, from 0, in characters.
    As text: the message, the line it is about, and a caret below the place.
    """

    def __init__(self, message: str, text: str, position: int) -> None:
        self.message = message
        self.text = text
        self.position = position
        super().__init__(f"{message}\n{pointer(text, position)}")


def evaluate(text: str, bindings: Mapping[str, Value]) -> Value:
    """The value of an expression over these variables, each plain JSON or typed (see ``typed.given``).

    A variable or function that does not exist is an error when it is asked for, as in CEL without its checker.
    Raises ExpressionError where the expression is none, EvaluationError where it has no value, RuleError where a
    binding is no value.
    """
    env = {name: _bound(name, binding) for name, binding in bindings.items()}
    return evaluate_with(text, ANY_NAMES, (env,))


def _bound(name: str, binding: Value) -> Value:
    try:
        return given(binding)
    except RuleError as error:
        raise RuleError(f"the binding {name}: {error}") from None


def evaluate_on(text: str, message: Message, body: Value) -> Value:
    """The value of an expression over the variables that rules have for a message; ``vars`` is empty.

    Raises ExpressionError, also for a variable or function that does not exist, and EvaluationError.
    """
    source = {message.source}
    return evaluate_with(text, MessageNames({}).names(source, source), (message, body))


def evaluate_with(text: str, names: Names, arguments: Sequence[Value]) -> Value:
    """The same over given names. Raises ExpressionError and EvaluationError."""
    expression = compile(text, names)
    try:
        return expression.function(*arguments)
    except RuleError as error:
        culprit = _culprit(error, text, expression.node, (names, arguments))
        raise EvaluationError(str(error), text, culprit.position) from None


def _culprit(error: RuleError, text: str, node: Node, around: tuple[Names, Sequence[Value]]) -> Node:
    """The innermost part that fails in the same way when it is asked alone."""
    names, arguments = around
    for part in _parts(node):
        try:
            compile_node(text, part, names).function(*arguments)
        except RuleError as failure:
            if str(failure) == str(error):
                return _culprit(error, text, part, around)
        except ExpressionError:  # the name of a type or of a family of functions, which is nothing alone
            continue
    return node


def _parts(node: Node) -> Sequence[Node]:
    """What can be asked alone: not what a macro does with its variable."""
    if isinstance(node, Apply):
        if node.function == "has" and node.target is None:
            return [argument.operand for argument in node.arguments if isinstance(argument, Select)]
        if node.function in MACROS and node.target is not None:
            return [node.target]
    return parts_of(node)


def place_of(text: str, position: int) -> str:
    """Line and column, both from 1: ``1:17``."""
    start = text.rfind("\n", 0, position) + 1
    return f"{text.count(chr(10), 0, position) + 1}:{position - start + 1}"
