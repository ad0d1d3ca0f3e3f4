"""CEL expressions: text in, a Python function out; the language itself is described in the modules beside."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, NamedTuple

from bridge.errors import RuleError
from bridge.routing.generator import Constants, Generator
from bridge.routing.names import ANY_NAMES
from bridge.routing.parser import parse
from bridge.routing.primitives import PRIMITIVES
from bridge.routing.syntax import ExpressionError
from bridge.routing.writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.routing.names import Names
    from bridge.routing.syntax import Node
    from bridge.routing.values import Value

__all__ = ["Expression", "ExpressionError", "compile", "compile_node", "function_of"]

_SOURCE = """
def exact({parameters}):
    {begin}
    try:
        return {exact}
    except RuleError:
        raise
    except Exception as error:
        raise unforeseen(error) from error

def fast({parameters}):
    {begin}
    try:
        return {fast}
    except Exception:
        return exact({arguments})
"""


class Expression(NamedTuple):
    """A compiled expression.

    function: takes what the names say (see ``Names.parameters``), gives the value, raises MissingField or RuleError.
    """

    text: str
    node: Node
    function: Callable[..., Value]

    def evaluate(self, env: Mapping[str, Value]) -> Value:
        """The value, for an expression over any names: ``env`` holds the variables. Raises as ``function`` does."""
        return self.function(env)


def compile(text: str, names: Names = ANY_NAMES) -> Expression:  # noqa: A001  named like re.compile, used as that is
    """An expression, checked as far as that is possible without a message. Raises ExpressionError."""
    return compile_node(text, parse(text), names)


def compile_node(text: str, node: Node, names: Names) -> Expression:
    """The same for what is parsed already; ``text`` is for errors."""
    return Expression(text, node, function_of(text, names, lambda generator: generator.source(node)))


def function_of(text: str, names: Names, write: Callable[[Generator], str]) -> Callable[..., Value]:
    """A function whose body is the Python expression that ``write`` makes, in both forms. Raises ExpressionError."""
    try:
        source, constants = source_of(text, names, write)
        code = builtins.compile(source, "<rule>", "exec")
    except (RecursionError, SyntaxError, MemoryError):
        raise ExpressionError("this is nested too deeply", text, 0) from None
    namespace = PRIMITIVES | dict(names.constants) | constants.by_name
    namespace |= {"RuleError": RuleError, "unforeseen": _unforeseen}
    # Generated from numbered names and constants only, see generator.py.
    exec(code, namespace)  # noqa: S102  # nosec B102
    function: Callable[..., Value] = namespace["fast"]
    return function


def source_of(text: str, names: Names, write: Callable[[Generator], str]) -> tuple[str, Constants]:
    """The Python that is run, and the values that it speaks of. Raises ExpressionError."""
    constants = Constants()
    generator = Generator(text, names, constants, WRITERS, exact=False)
    fast = write(generator)
    exact = write(Generator(text, names, constants, WRITERS, exact=True))
    begin = "h_refill()" if generator.metered else ""
    parameters, arguments = names.parameters, names.arguments
    source = _SOURCE.format(parameters=parameters, arguments=arguments, begin=begin, fast=fast, exact=exact)
    return source, constants


def _unforeseen(error: Exception) -> RuleError:
    return RuleError(f"cannot be computed ({type(error).__name__})")
