"""What pydantic or a part has to say about a value, as problems with path, file and line."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from bridge.config.schema import kinds_at, names_at, secrets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from bridge.document import Document, Keys
    from bridge.errors import Problem

_KEY = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
SHOWN = 40  # characters of a wrong value


def from_pydantic(error: ValidationError, document: Document) -> list[Problem]:
    """One problem per place, in the order of the file."""
    secret = {path for path, _ in secrets_in(document.value)}
    messages: dict[Keys, list[str]] = {}
    shown: set[Keys] = set()
    errors = [(locate(document.value, details), details) for details in error.errors(include_url=False)]
    deeper = {path[:length] for path, _ in errors for length in range(len(path))}
    for path, details in errors:
        if details["type"] == "literal_error" and path in deeper:
            continue  # the other variant of the union is the one that was meant
        messages.setdefault(path, []).append(_message(details, path, document.value))
        if details["type"] not in _WITHOUT_VALUE and path not in secret:
            shown.add(path)
    return [
        document.problem(
            path, "; or ".join(dict.fromkeys(said)) + (_given(document.value, path) if path in shown else "")
        )
        for path, said in messages.items()
    ]


def locate(value: object, details: ErrorDetails) -> Keys:
    """The path in the document: pydantic's also names the variants of a union and the like."""
    keys: list[str | int] = []
    absent = details["type"] in {"missing", "extra_forbidden"}
    for number, part in enumerate(details["loc"], 1):
        if _has(value, part):
            value = value[part]  # type: ignore[index]  # it has
        elif not (absent and number == len(details["loc"])):
            continue
        keys.append(part)
    if details["type"] == "union_tag_invalid":
        keys.append(details["ctx"]["discriminator"].strip("'"))
    return tuple(keys)


def _has(value: object, key: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(key, int) and key < len(value)
    return isinstance(value, dict) and key in value


_WITHOUT_VALUE = {"missing", "extra_forbidden", "value_error", "union_tag_not_found", "union_tag_invalid", "too_short"}


_PLAIN = {
    "missing": "is needed here",
    "model_type": "should be a mapping",
    "model_attributes_type": "should be a mapping",
    "dict_type": "should be a mapping",
    "list_type": "should be a list",
    "string_type": "should be a text",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
}

NO_NAME = "is no name: letters, digits, - and _, at most 64"
# What a pattern means; a regular expression tells it to few.
FORMS = {
    r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$": NO_NAME,
    r"^[^.]+(\.[^.]+)*$": "should be names with dots between, such as customer.email",
    r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$": "should be 1 to 100 letters, digits, _, - and ., the first no - and no .",
    r"^(https?://[^/\s@]+(/\S*)?)?$": "should be an address such as http://localhost:4318",
    r"^[A-Za-z0-9_-]{1,64}$": "should be 1 to 64 letters, digits, _ and -",
    r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$": "should be the full name of a message type, such as shop.Order",
    r"^[^\s,]+:\d{1,5}$": "should be host:port, such as kafka:9092",
}


def _message(details: ErrorDetails, path: Keys, value: object) -> str:
    kind, message = details["type"], details["msg"]
    if details["loc"][-1:] == ("[key]",):
        return NO_NAME
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _ABOUT_NAMES:
        return _ABOUT_NAMES[kind](details, path, value)
    if kind == "too_short" and details["ctx"]["min_length"] == 1:
        return "needs at least one"
    if kind == "string_pattern_mismatch":
        return FORMS.get(details["ctx"]["pattern"], message)
    return re.sub(r"^(Input|String) should", "should", message.removeprefix("Value error, "))


def _no_kind(details: ErrorDetails, path: Keys, value: object) -> str:
    given, known = str(details["ctx"]["tag"]), kinds_at(value, path[:-1])
    close = get_close_matches(given, known, 1)
    return f"there is no {given!r}; " + (f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}")


_ABOUT_NAMES: Mapping[str, Callable[[ErrorDetails, Keys, object], str]] = {
    "extra_forbidden": lambda _, path, value: _unknown(str(path[-1]), names_at(value, path[:-1])),
    "union_tag_invalid": _no_kind,
    "union_tag_not_found": lambda _, path, value: f"needs type: one of {', '.join(kinds_at(value, path))}",
}


def _unknown(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1, cutoff=0.5)
    if close:
        return f"is not known here; did you mean {close[0]}?"
    return f"is not known here; known are {', '.join(known)}" if known else "is not known here"


def _given(value: Any, path: Keys) -> str:  # noqa: ANN401  any value of a document
    for key in path:
        value = value[key]
    if isinstance(value, dict | list):
        return ""
    text = repr(value)
    return f" (it is {text if len(text) <= SHOWN else text[: SHOWN - 1] + '…'})"


def keys_of(path: str) -> Keys:
    """The inverse of ``dotted``."""
    return tuple(int(number) if number else name for number, name in _KEY.findall(path))


def placed(problems: Iterable[Problem], document: Document, numbers: Mapping[int, int] | None = None) -> list[Problem]:
    """Give places to problems that only have a path.

    numbers: the number in the document of each rule, where some were left out before.
    """
    found = []
    for problem in problems:
        keys = keys_of(problem.path)
        if numbers and keys[:1] == ("rules",) and len(keys) > 1 and isinstance(keys[1], int):
            keys = ("rules", numbers[keys[1]], *keys[2:])
        found.append(document.problem(keys, problem.message) if not problem.file else problem)
    return found
