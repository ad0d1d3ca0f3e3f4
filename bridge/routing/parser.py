"""CEL's grammar: tokens to a tree, by recursive descent; precedence lies in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from bridge.routing.hints import operator_hint
from bridge.routing.lexer import tokens_of
from bridge.routing.syntax import (
    Apply,
    Binary,
    ExpressionError,
    Index,
    ListOf,
    Literal,
    Logic,
    MapOf,
    Name,
    Node,
    Select,
    Ternary,
    Unary,
)
from bridge.routing.values import INT_MAX, INT_MIN

if TYPE_CHECKING:
    from bridge.routing.lexer import Token

_PRECEDENCE = (
    ("||",),
    ("&&",),
    ("==", "!=", "<", "<=", ">", ">=", "in"),
    ("+", "-"),
    ("*", "/", "%"),
)
# Words that the language keeps for itself: they may name a field, but no variable and no function.
RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"}
    | {"namespace", "return", "var", "void", "while"}
)
_DEEPEST = 64
_LONGEST_CHAIN = 100
_LONGEST = 100_000


def parse(text: str) -> Node:
    """One whole expression. Raises ExpressionError."""
    if len(text) > _LONGEST:
        raise ExpressionError(f"an expression has at most {_LONGEST} characters", text[:80], 0)
    return _Parser(text, tokens_of(text)).whole()


def parse_in_template(text: str, start: int) -> tuple[Node, int]:
    """The expression of a ``${…}`` whose inside begins at ``start``, and where the text goes on behind its ``}``."""
    tokens = tokens_of(text, start, in_template=True)
    return _Parser(text, tokens).whole(), tokens[-1].end


class _Parser:
    """Reads the tokens of one expression from left to right."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.text = text
        self.tokens = tokens
        self.place = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.place]

    def whole(self) -> Node:
        if self.token.kind == "end":
            raise ExpressionError("an expression is missing", self.text, self.token.position)
        node = self.expression()
        if self.token.kind != "end":
            self.unexpected("the end of the expression")
        return node

    def unexpected(self, wanted: str) -> NoReturn:
        token = self.token
        found = "the end" if token.kind == "end" else self.text[token.position : token.end]
        before = self.tokens[self.place - 1] if self.place else token
        hint = operator_hint(token.value if token.kind == "name" else None) or operator_hint(before.value)
        raise ExpressionError(f"expected {wanted}, found {found}{hint}", self.text, token.position)

    def take(self) -> Token:
        token = self.token
        self.place += 1
        return token

    def accept(self, kind: str) -> bool:
        if self.token.kind != kind:
            return False
        self.place += 1
        return True

    def expect(self, kind: str) -> Token:
        if self.token.kind != kind:
            self.unexpected(kind)
        return self.take()

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ExpressionError(f"nested deeper than {_DEEPEST}", self.text, self.token.position)
        node = self.binary(0)
        position = self.token.position
        if self.accept("?"):
            yes = self.binary(0)
            self.expect(":")
            node = Ternary(node, yes, self.expression(), position)
        self.depth -= 1
        return node

    def binary(self, level: int) -> Node:
        if level == len(_PRECEDENCE):
            return self.unary()
        operands = [self.binary(level + 1)]
        node, signs = operands[0], _PRECEDENCE[level]
        while (sign := self.sign()) in signs:
            position = self.take().position
            operands.append(self.binary(level + 1))
            if sign in {"||", "&&"}:
                node = Logic(sign, tuple(operands), position)
            else:
                node = Binary(sign, node, operands[-1], position)
        return node

    def sign(self) -> str:
        """The token as an operator; ``in`` is a name to the lexer."""
        token = self.token
        return "in" if token.kind == "name" and token.value == "in" else token.kind

    def unary(self) -> Node:
        kind, position, count = self.token.kind, self.token.position, 0
        if kind not in {"!", "-"}:
            return self.member()
        while self.accept(kind):
            count += 1
        if self.token.kind in {"!", "-"}:
            self.unexpected("a value")
        if kind == "-" and self.token.kind == "literal" and type(self.token.value) in {int, float}:
            self.tokens[self.place] = self.negative()
            count -= 1
        node = self.member()
        for _ in range(count % 2 or min(count, 2)):
            node = Unary(kind, node, position)
        return node

    def negative(self) -> Token:
        token = self.token
        return token._replace(value=-token.value, kind="negative")

    def member(self) -> Node:
        node = self.primary()
        for _ in range(_LONGEST_CHAIN):
            if self.accept("."):
                node = self.selection(node)
            elif self.token.kind == "[":
                node = self.indexing(node)
            elif self.token.kind == "{" and isinstance(node, Name | Select):
                raise ExpressionError("building protobuf messages is not supported", self.text, self.token.position)
            else:
                return node
        raise ExpressionError(f"more than {_LONGEST_CHAIN} selections in a row", self.text, self.token.position)

    def selection(self, operand: Node) -> Node:
        optional = self.accept("?")
        if self.token.kind not in {"name", "quoted"} or self.sign() == "in":
            self.unexpected("a field's name")
        token = self.take()
        field = str(token.value)
        if token.kind == "name" and not optional and self.accept("("):
            return Apply(field, operand, self.arguments(), token.position)
        return Select(operand, field, optional, token.position)

    def indexing(self, operand: Node) -> Node:
        position = self.expect("[").position
        optional = self.accept("?")
        index = self.expression()
        self.expect("]")
        return Index(operand, index, optional, position)

    def arguments(self) -> tuple[Node, ...]:
        nodes: list[Node] = []
        if self.accept(")"):
            return ()
        while True:
            nodes.append(self.expression())
            if self.accept(")"):
                return tuple(nodes)
            self.expect(",")

    def primary(self) -> Node:
        token = self.token
        if token.kind in {"literal", "negative"}:
            return self.literal()
        if token.kind == "(":
            self.take()
            node = self.expression()
            self.expect(")")
            return node
        if token.kind == "[":
            return self.list()
        if token.kind == "{":
            return self.map()
        return self.name()

    def literal(self) -> Node:
        token = self.take()
        value = token.value
        if type(value) is int and not INT_MIN <= value <= INT_MAX:
            raise ExpressionError("this number does not fit in an int; a uint ends in u", self.text, token.position)
        return Literal(value, token.position)

    def name(self) -> Node:
        position = self.token.position
        root = self.accept(".")
        if self.token.kind != "name" or self.sign() == "in":
            self.unexpected("a value")
        token = self.take()
        if token.value in RESERVED:
            raise ExpressionError(f"{token.value} is a reserved word", self.text, token.position)
        if self.accept("("):
            return Apply(str(token.value), None, self.arguments(), token.position)
        return Name(str(token.value), position, root)

    def list(self) -> Node:
        position = self.take().position
        elements: list[tuple[Node, bool]] = []
        while not self.accept("]"):
            optional = self.accept("?")
            elements.append((self.expression(), optional))
            if self.token.kind != "]":
                self.expect(",")
        return ListOf(tuple(elements), position)

    def map(self) -> Node:
        position = self.take().position
        entries: list[tuple[Node, Node, bool]] = []
        while not self.accept("}"):
            optional = self.accept("?")
            key = self.expression()
            self.expect(":")
            entries.append((key, self.expression(), optional))
            if self.token.kind != "}":
                self.expect(",")
        return MapOf(tuple(entries), position)
