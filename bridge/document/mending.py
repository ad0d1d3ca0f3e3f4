"""One line in which YAML trips over a value: which values of it need quotes, and the line as it is with them.

Nothing here knows CEL. YAML itself is asked, value by value, whether it reads what is written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import yaml  # noqa: TID251  this package is the border of PyYAML

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = re.compile(r"\s*(?:- +)*(?P<key>[\w.-]+)\s*:\s+(?P<value>\S.*?)\s*\Z")
_FLOW_KEY = re.compile(r"""\s*(?P<key>[\w.-]+|"[^"]*"|'[^']*')\s*:\s+""")
_ITEM = re.compile(r"\s*(?:- +)+(?=\{)")
_ENDS = re.compile(r"\s*(?:[,}\]]|#|\Z)")  # what may follow a quoted value in braces
_PAIRS = {"(": ")", "[": "]", "{": "}"}


class Span(NamedTuple):
    """A value in a line, ``line[start:end]``, and the name that it is given to."""

    key: str
    start: int
    end: int


class Mended(NamedTuple):
    """A line with quotes around the values that need them, and these values as they should be written."""

    line: str
    values: list[tuple[str, str]]  # name, the quoted value


def quoted(value: str) -> str:
    """A text as YAML takes it whole: in single quotes, those inside doubled."""
    if _outer_quotes_are_yaml(value):
        value = value[1:-1]
    return "'" + value.replace("'", "''") + "'"


def _outer_quotes_are_yaml(value: str) -> bool:
    """``"${body["a-b"]}"`` and ``"x == "a""`` were quoted for YAML; in ``"a" == "b"`` all quotes are CEL's."""
    if len(value) < 2 or value[0] != value[-1] or value[0] not in "\"'":  # noqa: PLR2004  a pair
        return False
    second = value.index(value[0], 1)
    # The next quote opens a string, so the first one did not.
    return second < len(value) - 1 and second > 1 and not (value[second - 1].isalnum() or value[second - 1] == "_")


def mended(line: str) -> Mended | None:
    """The line with quotes around what YAML does not read as it stands; None: that is not what is wrong."""
    spans = [span for span in _spans(line) if _is_whole(value := line[span.start : span.end]) and not _is_read(value)]
    if not spans:
        return None
    values: list[tuple[str, str]] = []
    for span in reversed(spans):
        text = quoted(line[span.start : span.end])
        line = line[: span.start] + text + line[span.end :]
        values.insert(0, (span.key, text))
    return Mended(line, values)


def _is_whole(value: str) -> bool:
    """False for a list or mapping that goes on below."""
    return value[0] not in "[{" or sum(map(value.count, "([{")) <= sum(map(value.count, ")]}"))


def _is_read(value: str) -> bool:
    """Whether YAML takes the text, in braces, for one value that is what is written."""
    try:
        node = yaml.compose("{k: " + value + "\n}", Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError:
        return False
    if not isinstance(node, yaml.MappingNode) or len(node.value) != 1:
        return False
    inner = node.value[0][1]
    plain = isinstance(inner, yaml.ScalarNode) and inner.style is None
    return not plain or inner.value == value


def _spans(line: str) -> Iterator[Span]:
    """The values of a line: the whole of ``key: value``, or those in its braces."""
    item = _ITEM.match(line)
    if item:
        yield from _in_braces(line, item.end() + 1)
        return
    block = _BLOCK.match(line)
    if block is None or line.rstrip().endswith(","):
        yield from _in_braces(line, 0)  # braces that were opened on a line before
    elif block["value"][0] == "{" and _FLOW_KEY.match(block["value"], 1) and _is_all(block["value"]):
        yield from _in_braces(line, block.start("value") + 1)
    else:
        yield Span(block["key"], block.start("value"), block.end("value"))


def _in_braces(line: str, place: int) -> Iterator[Span]:
    """The values of the names in a line, from a place inside braces on; braces and lists in them are gone through."""
    while found := _FLOW_KEY.match(line, place):
        start = found.end()
        if line[start : start + 1] == "{" and _FLOW_KEY.match(line, start + 1):
            place = start + 1
            continue
        end = _end(line, start)
        yield from _values(line, found["key"].strip("\"'"), start, end)
        place = end + len(line[end:]) - len(line[end:].lstrip("}], \t"))


def _values(line: str, key: str, start: int, end: int) -> Iterator[Span]:
    """The value that stands there; the elements of one that is a list."""
    value = line[start:end].strip()
    if not value.startswith("[") or not _is_all(value):
        if value:
            yield Span(key, start, start + len(line[start:end].rstrip()))
        return
    place = start + 1
    while place < start + len(value) - 1:
        place += len(line[place:]) - len(line[place:].lstrip(", \t"))
        until = _end(line, place)
        if line[place:until].strip() and line[place] not in "[{":
            yield Span(key, place, place + len(line[place:until].rstrip()))
        place = max(until, place + 1)


def _is_all(value: str) -> bool:
    """Whether the bracket that a value begins with is closed at its end, or below."""
    place = _end(value, 1)
    while value[place : place + 1] == ",":
        place = _end(value, place + 1)
    return not value[place + 1 :].strip(" \t,}]") or value[place + 1 :].lstrip().startswith("#")


def _end(line: str, start: int) -> int:
    """Where a value in braces ends: at a comma or bracket that is not the value's own."""
    closing = _quoted_end(line, start) if line[start : start + 1] in {"'", '"'} else None
    if closing is not None:
        return closing
    place, awaited = start, [""]
    while place < len(line):
        character = line[place]
        if character in "\"'":
            place = max(place, line.find(character, place + 1))
        elif character in _PAIRS:
            awaited.append(_PAIRS[character])
        elif character == awaited[-1]:
            awaited.pop()
        elif len(awaited) == 1 and character in ",}]":
            return place
        place += 1
    return len(line)


def _quoted_end(line: str, start: int) -> int | None:
    """The end of a value in quotes, where nothing but the next value follows them."""
    place = start + 1
    while (place := line.find(line[start], place)) >= 0:
        if line[start] == "'" and line[place + 1 : place + 2] == "'":
            place += 2
        elif line[start] == '"' and line[place - 1] == "\\":
            place += 1
        else:
            return place + 1 if _ENDS.match(line, place + 1) else None
    return None
