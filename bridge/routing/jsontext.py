"""Values of CEL as JSON, and parts of a message's body as the JSON text they came in."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from typing import TYPE_CHECKING

import orjson

from bridge.errors import RuleError
from bridge.routing.conversions import to_string
from bridge.routing.values import Duration, Timestamp, Value, type_name

if TYPE_CHECKING:
    from collections.abc import Sequence


# Our own values are dataclasses, which orjson would take for objects.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS
_NULL = b"null"  # looked for by find, not ``in``: that first tries its operand as an integer, which costs more


def _default(value: Value) -> Value:
    if type(value) is Timestamp or type(value) is Duration:
        return to_string(value)
    if type(value) is bytes:
        return b64encode(value).decode()
    raise RuleError(f"{type_name(value)} has no form in JSON")


def encode(value: Value) -> bytes:
    """A value as JSON: bytes in base64, timestamps and durations as text. Raises RuleError for the rest."""
    if type(value) is float and not math.isfinite(value):
        raise RuleError("a double that is not finite has no form in JSON")
    try:
        text = orjson.dumps(value, _default, _OPTIONS)
    except TypeError as error:
        if isinstance(error.__cause__, RuleError):
            raise error.__cause__ from None
        text = _encode_with_any_keys(value)
    if text.find(_NULL) >= 0 and _holds_not_finite(value):
        raise RuleError("a double that is not finite has no form in JSON")
    return text


def _encode_with_any_keys(value: Value) -> bytes:
    try:
        return orjson.dumps(value, _default, _OPTIONS | orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise RuleError(f"no form in JSON: {error.__cause__ or error}") from None


def _holds_not_finite(value: Value) -> bool:
    if type(value) is float:
        return not math.isfinite(value)
    if type(value) is dict:
        return any(map(_holds_not_finite, value.values()))
    return type(value) is list and any(map(_holds_not_finite, value))


def holds_double(value: Value) -> bool:
    """Whether a parsed value has a double anywhere in it."""
    if type(value) is dict:
        return any(map(holds_double, value.values()))
    if type(value) is list:
        return any(map(holds_double, value))
    return type(value) is float


class Spelling:
    """The numbers of a body as they are spelled in it; remembers the last body, to parse each at most once."""

    def __init__(self) -> None:
        self._body: bytes | None = None
        self._parsed: Value = None
        self._names: dict[str | int, bytes] = {}  # keys of the body that rules read numbers from, as they stand in it

    def part(self, body: bytes | None, path: Sequence[str | int], value: Value) -> Value:
        """What to encode for the element of ``body`` at ``path``, so that every number keeps its spelling.

        body: JSON text; None: there is none. value: the same element, parsed. Parsing keeps everything of JSON but
        the spelling of doubles, so only what holds one is looked up in the text. Raises RuleError.
        """
        kind = type(value)
        if kind is float:
            if body is None or (len(path) == 1 and self._stands_alone(body, path[0], value)):
                return value
        elif body is None or (kind is not dict and kind is not list) or not holds_double(value):
            return value
        if not path:
            return orjson.Fragment(body)
        found = self._spelled(body)
        for step in path:
            found = found[step]
        return found

    def _spelled(self, body: bytes) -> Value:
        if self._body is not body:
            self._parsed = spelled(body)
            self._body = body
        return self._parsed

    def _stands_alone(self, body: bytes, key: str | int, value: float) -> bool:
        """Whether ``key`` stands once in the text, followed by exactly this number: then nothing is to be looked up.

        Without a backslash in the text, what looks like the key is the key.
        """
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = b'"%b":' % str(key).encode("utf-8", "surrogatepass")
        place = body.find(name)
        if place < 0 or body.rfind(name) != place or body.find(b"\\") >= 0:
            return False
        start = place + len(name)
        if body[start] == _SPACE:
            start += 1
        encoded = orjson.dumps(value)
        return body.startswith(encoded, start) and body[start + len(encoded)] in _ENDS


_SPACE = ord(" ")
_ENDS = frozenset(b",}\n\r ")


def spelled(body: bytes) -> Value:
    """The parsed body with every number as a fragment of JSON in its own spelling. Raises RuleError."""
    try:
        return json.loads(body, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
    except (ValueError, RecursionError) as error:
        raise RuleError(f"the body is no JSON text: {type(error).__name__}") from None
