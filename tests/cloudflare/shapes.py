"""Expected shapes of JSON values: types, patterns and literals, nested in objects and lists."""

from __future__ import annotations

import re
from typing import Any

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ABSENT = object()  # as the expected value of a key: it is not there
NUMBER = (int, float)


def mismatch(expected: Any, actual: Any, path: str = "") -> str | None:
    """Where and how ``actual`` is not as expected; None where it is.

    An object may have more keys than expected, a list may not have more elements. A type or a tuple of types stands
    for any value of it, a pattern for any text that it matches as a whole.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        pairs = ((key, value, actual.get(key, ABSENT)) for key, value in expected.items())
        return next((found for key, value, got in pairs if (found := mismatch(value, got, f"{path}.{key}"))), None)
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        places = enumerate(zip(expected, actual, strict=True))
        return next((found for at, (value, got) in places if (found := mismatch(value, got, f"{path}[{at}]"))), None)
    return None if _equal(expected, actual) else f"{path or 'value'}: expected {expected!r}, got {actual!r}"


def _equal(expected: Any, actual: Any) -> bool:
    if expected is ABSENT or actual is ABSENT:
        return expected is actual
    if isinstance(expected, re.Pattern):
        return isinstance(actual, str) and expected.fullmatch(actual) is not None
    if isinstance(expected, type | tuple):
        return isinstance(actual, expected) and not (isinstance(actual, bool) and expected is not bool)
    return type(expected) is type(actual) and bool(expected == actual)
