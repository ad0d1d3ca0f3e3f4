"""Turns the tree of an expression into the source of one Python expression; ``writers.py`` has a way for each node.

Two forms are made of each. The *fast* one is plain Python that is right whenever it raises nothing. The *exact* one
has CEL's treatment of errors; it is asked when the fast one raised anything at all.

No text of a user reaches the source: names become numbered ones, strings and field names become numbered constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

from bridge.routing.budget import metered
from bridge.routing.syntax import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bridge.routing.functions import Function
    from bridge.routing.names import Names
    from bridge.routing.syntax import Node
    from bridge.routing.values import Value

    Writers = Mapping[type, Callable[["Generator", Value], "Code"]]

BOOL, TEXT, SAFE, OTHER = "bool", "text", "safe", ""  # SAFE: Python's own == does what CEL's does


class Code(NamedTuple):
    """The source of one Python expression, and what is known of its value."""

    source: str
    kind: str = OTHER


class Constants:
    """The values that a generated source refers to, by the names it has for them."""

    def __init__(self) -> None:
        self.by_name: dict[str, Value] = {}
        self._names: dict[tuple[type, Value], str] = {}

    def name(self, value: Value) -> str:
        """A name for the value; the same one for the same text or bytes."""
        if type(value) not in {str, bytes}:
            return self._new(value)
        key = (type(value), value)
        if key not in self._names:
            self._names[key] = self._new(value)
        return self._names[key]

    def _new(self, value: Value) -> str:
        name = f"k{len(self.by_name)}"
        self.by_name[name] = value
        return name


class Generator:
    """Writes the source of expressions of one text, in one of the two forms."""

    def __init__(self, text: str, names: Names, constants: Constants, writers: Writers, *, exact: bool) -> None:
        self.text = text
        self.writers = writers
        self.names = names
        self.constants = constants
        self.exact = exact
        self.bound: dict[str, str] = {}  # the variables of the macros around: name -> source
        self.metered = False  # from the first macro on: see budget.py
        self._count = 0

    def fail(self, message: str, position: int) -> NoReturn:
        """Raise ExpressionError for this text."""
        raise ExpressionError(message, self.text, position)

    def fresh(self) -> str:
        """A local name that is not in use."""
        self._count += 1
        return f"v{self._count}"

    def constant(self, value: Value) -> str:
        """The source of a constant."""
        return self.constants.name(value)

    def source(self, node: Node) -> str:
        """The source of a node's value."""
        return self.code(node).source

    def code(self, node: Node) -> Code:
        """The source of a node's value, and what is known of it."""
        return self.writers[type(node)](self, node)

    def condition(self, node: Node) -> str:
        """The source of a node that must be a bool."""
        code = self.code(node)
        return code.source if code.kind == BOOL else f"h_truth({code.source})"

    def call(self, name: str, function: Function, arguments: Sequence[str]) -> Code:
        """A call of a function from the tables."""
        watched = self.metered and not function.cheap
        local = f"{'w' if watched else 'f'}_{name}"
        self.constants.by_name[local] = metered(function.call) if watched else function.call
        return Code(f"{local}({', '.join(arguments)})")

    def operator(self, name: str) -> str:
        """The name of an operator's function, for here."""
        return f"{name}_metered" if self.metered else name

    def is_variable(self, name: str) -> bool:
        """Whether the name is a variable here."""
        return name in self.bound or name in self.names.variables
