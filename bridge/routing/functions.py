"""The functions that expressions may call: CEL's own, the string extensions, and the bridge's."""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from bridge.errors import RuleError
from bridge.routing import conversions, strings, times
from bridge.routing.format import format_text
from bridge.routing.jsontext import encode
from bridge.routing.values import ABSENT, NONE, TYPES, Optional, Type, Uint, Value, type_name

if TYPE_CHECKING:
    from collections.abc import Callable

_LEGAL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MADE = re.compile(r".*-x[0-9a-f]{24}", re.DOTALL)
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]+")
_KEPT = 32


class Function(NamedTuple):
    """One function. A method's first argument is what stands before the dot."""

    call: Callable[..., Value]
    least: int  # arguments, with the target of a method
    most: int
    cheap: bool = False  # whatever the sizes of its arguments


def size(value: Value) -> int:
    """``size(x)``: characters, bytes, elements or keys."""
    if type(value) in {str, bytes, list, dict}:
        return len(value)
    raise RuleError(f"size is not defined for {type_name(value)}")


def digest(value: Value) -> str:
    """``hash(x)``: the first 32 hexadecimal digits of the SHA-256 of text or bytes; of others' JSON, keys sorted."""
    if type(value) is str:
        data = value.encode("utf-8", "surrogatepass")
    elif type(value) is bytes:
        data = value
    else:
        data = orjson.dumps(orjson.loads(encode(value)), option=orjson.OPT_SORT_KEYS)
    return sha256(data).hexdigest()[:32]


def safe_id(value: Value) -> str:
    """``safe_id(x)``: text that may stand in an id, at most 64 characters; different texts give different ids.

    What is legal stays as it is; the rest keeps its legal characters and gets a hash, in a form that no legal text
    is left in.
    """
    text = value if type(value) is bytes else conversions.to_string(value)
    if type(text) is str and _LEGAL.fullmatch(text) and not _MADE.fullmatch(text):
        return text
    shown = text.decode("ascii", "ignore") if type(text) is bytes else str(text)
    marked = b"\0" + text if type(text) is bytes else str(text).encode("utf-8", "surrogatepass")
    kept = _ILLEGAL.sub("-", shown[:_KEPT]).strip("-")
    return f"{kept or 'x'}-x{sha256(marked).hexdigest()[:24]}"


def json_text(value: Value) -> str:
    """``json(x)``: the value as JSON text."""
    return encode(value).decode()


def base64_encode(value: Value) -> str:
    """``base64.encode(x)``, also ``base64(x)``: of bytes, or of text as UTF-8."""
    return b64encode(conversions.to_bytes(value)).decode()


def base64_decode(value: Value) -> bytes:
    """``base64.decode(text)``; the padding may be missing."""
    text = strings.text_of(value, "base64.decode")
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (Base64Error, ValueError):
        raise RuleError("base64.decode: this is no base64") from None


def optional_none() -> Optional:
    """``optional.none()``."""
    return NONE


_ZEROS: Final[tuple[Value, ...]] = (None, False, 0, 0.0, "", b"", [], {})


def optional_of_non_zero(value: Value) -> Optional:
    """``optional.ofNonZeroValue(x)``: none for null, false, 0, and what is empty."""
    zero = any(type(value) is type(other) and value == other for other in _ZEROS) or (type(value) is Uint and not value)
    return NONE if zero else Optional(value)


def _held(value: Value, what: str) -> Value:
    if type(value) is not Optional:
        raise RuleError(f"{what} is not defined for {type_name(value)}")
    return value.value


def has_value(value: Value) -> bool:
    """``optional.hasValue()``."""
    return _held(value, "hasValue") is not ABSENT


def value_of(value: Value) -> Value:
    """``optional.value()``."""
    held = _held(value, "value")
    if held is ABSENT:
        raise RuleError("an empty optional has no value")
    return held


def _double(value: Value, what: str) -> float:
    if type(value) is float:
        return value
    raise RuleError(f"{what} is not defined for {type_name(value)}")


def rounding(name: str, function: Callable[[float], float]) -> Callable[[Value], float]:
    """A function of a double that gives a double; what is not finite stays, and so does the sign of a zero."""

    def rounded(value: Value) -> float:
        number = _double(value, name)
        return math.copysign(function(number), number) if math.isfinite(number) else number

    return rounded


def _half_away(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5) if abs(value) < 2**52 else abs(value), value)


_METHODS: dict[str, Function] = {
    "size": Function(size, 1, 1, cheap=True),
    "contains": Function(strings.contains, 2, 2),
    "startsWith": Function(strings.starts_with, 2, 2),
    "endsWith": Function(strings.ends_with, 2, 2),
    "matches": Function(strings.matches, 2, 2),
    "lowerAscii": Function(strings.lower_ascii, 1, 1),
    "upperAscii": Function(strings.upper_ascii, 1, 1),
    "charAt": Function(strings.char_at, 2, 2),
    "indexOf": Function(strings.index_of, 2, 3),
    "lastIndexOf": Function(strings.last_index_of, 2, 3),
    "substring": Function(strings.substring, 2, 3),
    "trim": Function(strings.trim, 1, 1),
    "reverse": Function(strings.reverse, 1, 1),
    "replace": Function(strings.replace, 3, 4),
    "split": Function(strings.split, 2, 3),
    "join": Function(strings.join, 1, 2),
    "format": Function(format_text, 2, 2),
    "hasValue": Function(has_value, 1, 1, cheap=True),
    "value": Function(value_of, 1, 1, cheap=True),
} | {name: Function(times.accessor(name), 1, 2, cheap=True) for name in times.ACCESSORS}

_GLOBALS: dict[str, Function] = {
    "size": Function(size, 1, 1, cheap=True),
    "matches": Function(strings.matches, 2, 2),
    "int": Function(conversions.to_int, 1, 1, cheap=True),
    "uint": Function(conversions.to_uint, 1, 1, cheap=True),
    "double": Function(conversions.to_double, 1, 1, cheap=True),
    "string": Function(conversions.to_string, 1, 1),
    "bytes": Function(conversions.to_bytes, 1, 1),
    "bool": Function(conversions.to_bool, 1, 1, cheap=True),
    "timestamp": Function(conversions.to_timestamp, 1, 1, cheap=True),
    "duration": Function(conversions.to_duration, 1, 1, cheap=True),
    "type": Function(conversions.to_type, 1, 1, cheap=True),
    "dyn": Function(conversions.to_dyn, 1, 1, cheap=True),
    "hash": Function(digest, 1, 1),
    "safe_id": Function(safe_id, 1, 1),
    "json": Function(json_text, 1, 1),
    "base64": Function(base64_encode, 1, 1),
    "base64.encode": Function(base64_encode, 1, 1),
    "base64.decode": Function(base64_decode, 1, 1),
    "strings.quote": Function(strings.quote, 1, 1),
    "optional.of": Function(Optional, 1, 1, cheap=True),
    "optional.none": Function(optional_none, 0, 0, cheap=True),
    "optional.ofNonZeroValue": Function(optional_of_non_zero, 1, 1, cheap=True),
    "math.ceil": Function(rounding("math.ceil", math.ceil), 1, 1, cheap=True),
    "math.floor": Function(rounding("math.floor", math.floor), 1, 1, cheap=True),
    "math.round": Function(rounding("math.round", _half_away), 1, 1, cheap=True),
    "math.trunc": Function(rounding("math.trunc", math.trunc), 1, 1, cheap=True),
}

FUNCTIONS: Final = _GLOBALS
METHODS: Final = _METHODS
NAMESPACES: Final = frozenset(name.partition(".")[0] for name in FUNCTIONS if "." in name)
TYPE_NAMES: Final[dict[str, Type]] = {name: value for name, value in TYPES.items() if "." not in name}
