"""Compiles the fields of one rule and collects what is wrong with them, each with its path in the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.errors import Problem, RuleError
from bridge.routing.expression import ExpressionError, compile, function_of  # noqa: A004  named like re.compile
from bridge.routing.parser import parse
from bridge.routing.syntax import Literal
from bridge.routing.template import TemplateError, compile_json, compile_text, constant_text, leaves_of
from bridge.routing.values import type_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.errors import RenderError
    from bridge.routing.names import Names
    from bridge.routing.syntax import Node
    from bridge.routing.values import Value


class Text:
    """A field that gives text: ``fixed`` where it is the same for every message, else ``of`` makes it."""

    __slots__ = ("fixed", "of")

    def __init__(self, fixed: str | None, of: Callable[..., str]) -> None:
        self.fixed = fixed
        self.of = of


class Blueprint:
    """One rule on its way from settings to functions.

    problems: what was wrong so far, with paths. parts: every function with the field it is for, in the order in which
    they are asked, so that an error can be laid at a field's door afterwards. config: of the rule's policy.
    """

    def __init__(self, path: str, names: Names, config: str = "") -> None:
        self.path = path
        self.names = names
        self.config = config
        self.problems: list[Problem] = []
        self.parts: list[tuple[str, Callable[..., Value]]] = []

    def problem(self, field: str, message: str) -> None:
        """Note a mistake."""
        self.problems.append(Problem(f"{self.path}.{field}" if field else self.path, message))

    def expression(self, field: str, text: str) -> Callable[..., Value]:
        """A field of bare CEL."""
        try:
            function = compile(text, self.names).function
        except ExpressionError as error:
            self.problem(field, str(error))
            return _broken
        self.parts.append((field, function))
        return function

    def tree(self, field: str, text: str) -> Node | None:
        """The tree of a field of bare CEL; None where it is wrong."""
        try:
            node = parse(text)
            function_of(text, self.names, lambda generator: generator.condition(node))
        except ExpressionError as error:
            self.problem(field, str(error))
            return None
        if isinstance(node, Literal) and type(node.value) is not bool:
            what = f"a condition must be a bool, not the {type_name(node.value)} {text}"
            self.problem(field, f"{what}; compare it with something, such as body.version == {text}")
            return None
        return node

    def text(self, field: str, text: str, check: Callable[[str], object], why: Callable[[str], RenderError]) -> Text:
        """A field that is a template for text; what is fixed is checked now."""
        try:
            fixed = constant_text(text)
            if fixed is not None:
                if not check(fixed):
                    self.problem(field, str(why(fixed)))
                return Text(fixed, lambda *_: fixed)
            function = compile_text(text, self.names)
        except ExpressionError as error:
            self.problem(field, str(error))
            return Text(None, _broken)
        self.parts.append((field, function))
        return Text(None, function)

    def json(self, field: str, value: Value) -> Callable[..., bytes]:
        """A field that is a template for JSON; every mistake in it is noted."""
        try:
            function = compile_json(value, self.names)
        except TemplateError:
            self._mistakes(field, value)
            return _broken
        except (RuleError, ExpressionError) as error:
            self.problem(field, str(error))
            return _broken
        self.parts.append((field, function))
        return function

    def _mistakes(self, field: str, value: Value) -> None:
        for path, leaf in leaves_of(value):
            try:
                compile_json(leaf, self.names)
            except TemplateError as error:
                self.problem(f"{field}{path}", str(error))

    def blame(self, *arguments: Value) -> str:
        """The field whose function fails for this message; "" where none does."""
        for field, function in self.parts:
            try:
                function(*arguments)
            except RuleError:
                return field
        return ""


def _broken(*_: Value) -> Value:
    raise RuleError("this field could not be compiled")
