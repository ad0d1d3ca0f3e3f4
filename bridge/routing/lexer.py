"""CEL's words: text to tokens, with their places; also finds the end of a ``${…}`` in a template."""

from __future__ import annotations

import re
from typing import NamedTuple

from bridge.routing.literals import bytes_of, number_of, string_of
from bridge.routing.syntax import ExpressionError
from bridge.routing.values import Value  # noqa: TC001  a named tuple looks at its types

WORDS = {"true": True, "false": False, "null": None}

_TOKEN = re.compile(
    r"""
    (?P<space>(?:[\t\n\f\r\ ]|//[^\n]*)+)
  | (?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:\"\"\"|'''|\"|'))
  | (?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<quoted>`[A-Za-z0-9_.\-/ ]+`)
  | (?P<operator>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
    """,
    re.VERBOSE,
)
_STRING_ENDS = {quote: re.compile(rf"(?:[^\\\n\r{quote}]|\\[^\n\r])*{quote}") for quote in ("'", '"')} | {
    quote: re.compile(rf"(?s:(?:[^\\]|\\.)*?){quote}") for quote in ("'''", '"""')
}
_RAW_ENDS = {quote: re.compile(rf"[^\n\r{quote}]*{quote}") for quote in ("'", '"')} | {
    quote: re.compile(rf"(?s:.*?){quote}") for quote in ("'''", '"""')
}


class Token(NamedTuple):
    """One word. kind: "literal", "name", "quoted", "end", or the operator itself."""

    kind: str
    value: Value  # a literal's value, a name's text
    position: int
    end: int


def tokens_of(text: str, start: int = 0, *, in_template: bool = False) -> list[Token]:
    """The words of ``text`` from ``start``; the last is of kind "end".

    in_template: the expression ends at the ``}`` that closes the ``${`` before ``start``, which is then the "end".
    Raises ExpressionError.
    """
    tokens: list[Token] = []
    position, depth = start, 0
    while position < len(text):
        token = _next(text, position)
        position = token.end
        if token.kind == "space":
            continue
        depth += (token.kind == "{") - (token.kind == "}")
        if in_template and depth < 0:
            tokens.append(token._replace(kind="end"))
            return tokens
        tokens.append(token)
    if in_template:
        raise ExpressionError("this ${ has no }; a literal ${ is written $${", text, start - 2)
    tokens.append(Token("end", None, len(text), len(text)))
    return tokens


def _next(text: str, position: int) -> Token:
    match = _TOKEN.match(text, position)
    if match is None:
        raise ExpressionError(_why_not(text, position), text, position)
    kind, word, end = str(match.lastgroup), match[0], match.end()
    if kind == "string":
        return _string(text, position, word)
    if kind == "number":
        return Token("literal", number_of(word, text, position), position, _no_name_follows(text, end))
    if kind == "name" and word in WORDS:
        return Token("literal", WORDS[word], position, end)
    if kind == "quoted":
        return Token(kind, word[1:-1], position, end)
    return Token(word if kind == "operator" else kind, word, position, end)


def _string(text: str, position: int, opening: str) -> Token:
    quote = opening.lstrip("rRbB")
    prefix = opening.removesuffix(quote).lower()
    start = position + len(opening)
    match = (_RAW_ENDS if "r" in prefix else _STRING_ENDS)[quote].match(text, start)
    if match is None:
        raise ExpressionError("this string has no end", text, position)
    raw = match[0].removesuffix(quote)
    if "r" in prefix:
        value: Value = raw.encode() if "b" in prefix else raw
    else:
        value = bytes_of(raw, text, start) if "b" in prefix else string_of(raw, text, start)
    return Token("literal", value, position, match.end())


def _no_name_follows(text: str, end: int) -> int:
    if end < len(text) and (text[end].isalnum() or text[end] == "_"):
        raise ExpressionError("a number cannot be followed by a letter or digit", text, end)
    return end


def _why_not(text: str, position: int) -> str:
    rest = text[position : position + 2]
    if rest == "${":
        return "this field takes a bare expression: write it without ${ and }"
    hints = {"=": "equality is written ==", "&": "and is written &&", "|": "or is written ||"}
    char = rest[0]
    return f"unexpected {char!r}; {hints[char]}" if char in hints else f"unexpected {char!r}"
