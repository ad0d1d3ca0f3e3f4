"""CEL's functions on strings; positions count characters (Unicode code points)."""

from __future__ import annotations

import string
from functools import lru_cache

import re2

from bridge.errors import RuleError
from bridge.routing.values import INT_MAX, Value, type_name

_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
# What Unicode calls White_Space; Python's own str.strip also takes the four separators U+001C to U+001F.
_SPACES = "\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_REGEX_MEMORY = 8 << 20
_LONGEST_RESULT = 16 << 20


def text_of(value: Value, what: str) -> str:
    """The value, which must be a string. Raises RuleError naming the function that asked."""
    if type(value) is str:
        return value
    raise RuleError(f"{what} is not defined for {type_name(value)}")


def _position(value: Value, what: str, length: int) -> int:
    if type(value) is not int or not 0 <= value <= length:
        raise RuleError(f"{what}: this is no position in the string")
    return value


def contains(target: Value, part: Value) -> bool:
    """``target.contains(part)``."""
    return text_of(part, "contains") in text_of(target, "contains")


def starts_with(target: Value, part: Value) -> bool:
    """``target.startsWith(part)``."""
    return text_of(target, "startsWith").startswith(text_of(part, "startsWith"))


def ends_with(target: Value, part: Value) -> bool:
    """``target.endsWith(part)``."""
    return text_of(target, "endsWith").endswith(text_of(part, "endsWith"))


@lru_cache(maxsize=1024)
def regex(pattern: str) -> Value:
    """A pattern in RE2's language, which is matched in linear time. Raises RuleError."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _REGEX_MEMORY
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise RuleError(f"this is no regular expression (RE2): {reason}") from None


def matches(target: Value, pattern: Value) -> bool:
    """``target.matches(pattern)``: anywhere in the target."""
    return _compiled(text_of(pattern, "matches")).search(text_of(target, "matches")) is not None


def _compiled(pattern: str) -> Value:
    """As ``regex``, with an error that does not tell a pattern that came in a message."""
    try:
        return regex(pattern)
    except RuleError:
        raise RuleError("matches: the pattern is no regular expression (RE2)") from None


def lower_ascii(target: Value) -> str:
    """``target.lowerAscii()``."""
    return text_of(target, "lowerAscii").translate(_LOWER)


def upper_ascii(target: Value) -> str:
    """``target.upperAscii()``."""
    return text_of(target, "upperAscii").translate(_UPPER)


def char_at(target: Value, position: Value) -> str:
    """``target.charAt(position)``; empty just behind the end."""
    text = text_of(target, "charAt")
    start = _position(position, "charAt", len(text))
    return text[start : start + 1]


def index_of(target: Value, part: Value, start: Value = 0) -> int:
    """``target.indexOf(part, start)``; -1 where it is not."""
    text = text_of(target, "indexOf")
    return text.find(text_of(part, "indexOf"), _position(start, "indexOf", len(text)))


def last_index_of(target: Value, part: Value, start: Value = None) -> int:
    """``target.lastIndexOf(part, start)``: the last that begins at ``start`` or before; -1 where it is not."""
    text, wanted = text_of(target, "lastIndexOf"), text_of(part, "lastIndexOf")
    if start is None:
        return text.rfind(wanted)
    return text.rfind(wanted, 0, _position(start, "lastIndexOf", len(text)) + len(wanted))


def substring(target: Value, start: Value, end: Value = None) -> str:
    """``target.substring(start, end)``; the end is not part of it."""
    text = text_of(target, "substring")
    last = len(text) if end is None else _position(end, "substring", len(text))
    first = _position(start, "substring", len(text))
    if first > last:
        raise RuleError("substring: the start is behind the end")
    return text[first:last]


def trim(target: Value) -> str:
    """``target.trim()``."""
    return text_of(target, "trim").strip(_SPACES)


def reverse(target: Value) -> str:
    """``target.reverse()``."""
    return text_of(target, "reverse")[::-1]


def replace(target: Value, old: Value, new: Value, limit: Value = -1) -> str:
    """``target.replace(old, new, limit)``; a negative limit is none."""
    text, sought, given = text_of(target, "replace"), text_of(old, "replace"), text_of(new, "replace")
    count = _count(limit, "replace")
    found = min(text.count(sought), count) if count >= 0 else text.count(sought)
    if len(text) + found * len(given) > _LONGEST_RESULT:
        raise RuleError("replace: the result is too long")
    return text.replace(sought, given, count)


def split(target: Value, separator: Value, limit: Value = -1) -> list[str]:
    """``target.split(separator, limit)``: at most ``limit`` parts; a negative limit is none."""
    text, between = text_of(target, "split"), text_of(separator, "split")
    count = _count(limit, "split")
    if count == 0:
        return []
    if between:
        return text.split(between, count - 1 if count > 0 else -1)
    if count < 0 or count >= len(text):
        return list(text)
    return [*text[: count - 1], text[count - 1 :]]


def _count(limit: Value, what: str) -> int:
    if type(limit) is not int or limit > INT_MAX:
        raise RuleError(f"{what}: the limit must be an int, not a {type_name(limit)}")
    return max(-1, min(limit, 1 << 31))


def join(target: Value, separator: Value = "") -> str:
    """``list.join(separator)``."""
    if type(target) is not list:
        raise RuleError(f"join is not defined for {type_name(target)}")
    parts = [text_of(part, "join of a list with") for part in target]
    between = text_of(separator, "join")
    if len(parts) * len(between) + sum(map(len, parts)) > _LONGEST_RESULT:
        raise RuleError("join: the result is too long")
    return between.join(parts)


_QUOTED = {
    "\\": "\\\\",
    '"': '\\"',
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def quote(value: Value) -> str:
    """``strings.quote(text)``: the text as a literal of CEL."""
    return f'"{"".join(_QUOTED.get(char, char) for char in text_of(value, "quote"))}"'
