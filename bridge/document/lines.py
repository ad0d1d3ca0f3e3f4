"""The lines of a text as YAML counts them: they end with CR LF, LF, CR, or one of three breaks of Unicode."""

from __future__ import annotations

import re

_BREAK = re.compile("(\r\n|[\n\r\x85\u2028\u2029])")
_REST = re.compile("[^\n\r\x85\u2028\u2029]*")


def number_at(text: str, place: int) -> int:
    """The number of the line, from 1, that the character at ``place`` is on."""
    return len(_BREAK.findall(text[:place])) + 1


def rest_at(text: str, place: int) -> str:
    """What is left of the line from ``place`` on, without its end."""
    found = _REST.match(text, place)
    return found[0] if found else ""


def line_at(text: str, number: int) -> str | None:
    """A line, counted from 0, without its end; None where there is no such line."""
    lines = _BREAK.split(text)[::2]
    return lines[number] if 0 <= number < len(lines) else None


def with_line(text: str, number: int, line: str) -> str:
    """The text with another line in the place of one, counted from 0; how the lines end stays."""
    parts = _BREAK.split(text)
    parts[2 * number] = line
    return "".join(parts)
