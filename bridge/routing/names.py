"""Which variables an expression may use, and what each is in the Python that it is compiled to."""

from __future__ import annotations

from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from bridge.errors import MissingField, RuleError
from bridge.routing.access import select

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.routing.values import Value


class Variable(NamedTuple):
    """One variable. Source is Python written by this package, never by a user."""

    source: str
    is_text: bool = False  # certainly a str


class Names(NamedTuple):
    """The variables of one place in the rules, and the Python function that expressions of it become.

    parameters: the function's, with their defaults. constants: what the variables' sources refer to, by name.
    raw: the source of the JSON text behind the variable ``body``; "" where there is none.
    item_path: the way from the body to the list whose element ``item`` is; None where that is not known.
    open: every other name is a variable too, looked up in the parameter ``env``.
    """

    parameters: str
    variables: Mapping[str, Variable]
    constants: Mapping[str, Value] = MappingProxyType({})
    raw: str = ""
    item_path: tuple[str | int, ...] | None = None
    open: bool = False

    @property
    def arguments(self) -> str:
        """The parameters without their defaults."""
        return ", ".join(part.partition("=")[0] for part in self.parameters.split(", "))


def read_variable(env: Mapping[str, Value], name: str) -> Value:
    """A variable of open names. Raises MissingField."""
    try:
        return env[name]
    except KeyError:
        raise MissingField(f"no variable {name!r}") from None


def read_qualified(env: Mapping[str, Value], parts: tuple[str, ...]) -> Value:
    """``a.b.c`` of open names: the longest part that is a variable, and the fields that follow."""
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in env:
            return reduce(select, parts[length:], env[name])
    raise MissingField(f"no variable {parts[0]!r}")


def no_function(name: str, *_arguments: Value) -> Value:
    """With open names a function that does not exist is an error when it is called, as in CEL without its checker."""
    raise RuleError(f"no function {name}")


ANY_NAMES: Final = Names("env", {}, open=True)
