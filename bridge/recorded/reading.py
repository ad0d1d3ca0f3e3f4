"""From JSON, or from what a person wrote in YAML, to a message; what is left out has its ordinary value.

Which source an unnamed message is of, and what that source would give it, is for the caller to say: ``Recorded.given``
tells what was there.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from bridge.errors import NotAMessage
from bridge.message import Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.message import HeaderValue

UNDECODED: Final = object()  # the value of a message whose body has to be decoded
FIELDS: Final = (
    *("source", "id", "channel", "key", "headers", "body", "value"),
    *("timestamp", "timestamp_ms", "attributes", "redelivered", "has_identity"),
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BODIES: Final = ({"text"}, {"base64"}, {"json"}, {"text", "json"}, {"base64", "json"})


class Recorded(NamedTuple):
    """A message that was read."""

    message: Message
    given: frozenset[str]  # the fields that were there; the others have their ordinary values
    value: object = UNDECODED  # the decoded body, where it was given instead of the body itself


def decode(text: bytes) -> Recorded:
    """A message from JSON: one line of a file, or a whole file that holds one. Raises NotAMessage.

    A dead letter as ``dead-letters … --json`` prints it is taken for the message in it. A body that is given as JSON
    keeps the spelling of its numbers.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as failure:
        found = _loads_slowly(text, failure)
    held = _message_in(found)
    if "body" in held:
        held = {**held, "body": _spelled(held["body"], text)}
    return _read(held)


def read(value: object) -> Recorded:
    """The same from a value, such as YAML gives. Raises NotAMessage."""
    return _read(_message_in(value))


class _Spelled(NamedTuple):
    """The bytes of a body."""

    text: bytes


def _loads_slowly(text: bytes, failure: orjson.JSONDecodeError) -> object:
    """With Python's own parser, which takes halves of surrogate pairs; if it does not, the other one's complaint."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        raise NotAMessage((), f"not JSON: {failure}") from None
    return found


def _message_in(value: object) -> dict[str, Any]:
    if isinstance(value, dict) and isinstance(value.get("message"), dict):
        value = value["message"]
    if not isinstance(value, dict):
        raise NotAMessage((), "a message is a mapping, such as {source: orders, body: {type: order.created}}")
    return value


def _spelled(body: object, text: bytes) -> object:
    """A body that is JSON as the bytes that it is in ``text``, up to white space between its values."""
    bare = _json_of(body)
    if bare is _NOT_JSON:
        return body
    try:
        compact = orjson.dumps(bare)
    except orjson.JSONEncodeError:
        return body
    if isinstance(bare, dict | list) and compact in text:  # else "1.1" is in 1.10
        return _Spelled(compact)
    try:
        again = json.loads(text, parse_int=orjson.Fragment, parse_float=orjson.Fragment)
        return _Spelled(orjson.dumps(_json_of(_message_in(again)["body"])))
    except (ValueError, TypeError, RecursionError):
        return body


_NOT_JSON: Final = object()


def _json_of(body: object) -> object:
    """The value of a body that is given as JSON."""
    if body is None or isinstance(body, str):
        return _NOT_JSON
    if isinstance(body, dict) and set(body) in _BODIES:
        return body["json"] if set(body) == {"json"} else _NOT_JSON
    return body


def _read(held: Mapping[str, Any]) -> Recorded:
    for name in held:
        if name not in FIELDS:
            close = get_close_matches(str(name), FIELDS, 1)
            hint = f"; is {close[0]} meant?" if close else f"; there are {', '.join(FIELDS)}"
            raise NotAMessage((str(name),), f"a message has no {name!r}{hint}")
    for one, other in (("body", "value"), ("timestamp", "timestamp_ms")):
        if one in held and other in held:
            raise NotAMessage((other,), f"{one} and {other} say the same thing twice; keep one")
    message = Message(
        _text(held, "source"),
        _text(held, "id"),
        _text(held, "channel"),
        None if held.get("key") is None else bytes_of(held["key"], ("key",)),
        _headers(held.get("headers")),
        _body(held.get("body")),
        _timestamp_ms(held),
        _attributes(held.get("attributes")),
        _flag(held, "redelivered", default=False),
        _flag(held, "has_identity", default=True),
    )
    return Recorded(message, frozenset(held), held.get("value", UNDECODED))


def _text(held: Mapping[str, Any], name: str) -> str:
    value = held.get(name, "")
    if not isinstance(value, str):
        raise NotAMessage((name,), "write text, in quotes where it looks like a number")
    return value


def _flag(held: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = held.get(name, default)
    if not isinstance(value, bool):
        raise NotAMessage((name,), "write true or false")
    return value


def _body(value: object) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, _Spelled):
        return value.text
    bare = _json_of(value)
    return bytes_of(value, ("body",)) if bare is _NOT_JSON else json_text(bare, ("body",))


def json_text(value: object, path: tuple[str | int, ...]) -> bytes:
    """A value as the JSON text that it stands for. Raises NotAMessage."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise NotAMessage(path, f"this has no form in JSON ({error}); give the text of the body in quotes") from None


def bytes_of(value: object, path: tuple[str | int, ...]) -> bytes:
    """From text, ``{"text": …}`` or ``{"base64": …}``. Raises NotAMessage."""
    if isinstance(value, dict):
        text, encoded = value.get("text"), value.get("base64")
        if isinstance(encoded, str) and text is None:
            try:
                return b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                raise NotAMessage((*path, "base64"), "this is not base64") from None
        value = text if encoded is None else None
    if not isinstance(value, str):
        raise NotAMessage(path, 'write text, {text: "…"} or {base64: "…"}')
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise NotAMessage(path, "half of a surrogate pair is no text; give the bytes as {base64: …}") from None


def _headers(value: object) -> Sequence[tuple[str, HeaderValue]]:
    if value is None:
        return []
    if isinstance(value, dict):
        return [(_name(name, ("headers",)), _header_value(held, ("headers", name))) for name, held in value.items()]
    if not isinstance(value, list):
        raise NotAMessage(("headers",), "write a mapping of names to values, or a list of [name, value]")
    return [_header(held, ("headers", number)) for number, held in enumerate(value)]


def _header(held: object, path: tuple[str | int, ...]) -> tuple[str, HeaderValue]:
    if isinstance(held, list) and len(held) == 2:  # noqa: PLR2004  a pair
        return _name(held[0], path), _header_value(held[1], path)
    if isinstance(held, dict) and "name" in held:
        rest = {name: value for name, value in held.items() if name != "name"}
        return _name(held["name"], path), _header_value(rest, path)
    raise NotAMessage(path, "write [name, value], or {name: …, type: …, value: …}")


def _name(value: object, path: tuple[str | int, ...]) -> str:
    if not isinstance(value, str):
        raise NotAMessage(path, "the name of a header is text; put it in quotes")
    return value


def _header_value(held: object, path: tuple[str | int, ...]) -> HeaderValue:
    if not isinstance(held, dict):
        if held is None or isinstance(held, str | bool | int | float):
            return held
        raise NotAMessage(path, "the value of a header is text, a number, true, false, null or {base64: …}")
    if "value" not in held:
        if held.get("type", "bytes") != "bytes":
            raise NotAMessage(path, f"a header of type {held['type']} has a value")
        return bytes_of({name: value for name, value in held.items() if name != "type"}, path)
    value, kind = held["value"], held.get("type")
    if not isinstance(kind, str | None):
        raise NotAMessage(path, f"the type of a header is one of {', '.join(_KINDS)}")
    if kind in {"int", "float"} and isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return int(value) if kind == "int" else float(value)
        except (ValueError, OverflowError):
            raise NotAMessage(path, f"{value!r} is no {kind}") from None
    if kind not in {None, "text", "bool", "null"} or isinstance(value, dict):
        raise NotAMessage(path, f"a header of type {kind} cannot have this value; types are {', '.join(_KINDS)}")
    if kind is not None and not isinstance(value, _KINDS[kind]):
        raise NotAMessage(path, f"this is no {kind}")
    return _header_value(value, path)


_KINDS: dict[str, type] = {"bytes": bytes, "text": str, "int": int, "float": float, "bool": bool, "null": type(None)}


def _timestamp_ms(held: Mapping[str, Any]) -> int | None:
    value = held.get("timestamp_ms")
    if isinstance(value, bool) or not isinstance(value, int | None):
        raise NotAMessage(("timestamp_ms",), "write milliseconds since 1970 as an integer")
    return value if held.get("timestamp") is None else _moment(held["timestamp"])


def _moment(value: object) -> int:
    moment = epoch_ms(value)
    if moment is None:
        raise NotAMessage(("timestamp",), 'write a time such as "2026-03-01T12:00:00Z"')
    return moment


def epoch_ms(time: object) -> int | None:
    """ISO 8601 text, in UTC where it does not say, as milliseconds since 1970; None where it is no such text."""
    try:
        moment = datetime.fromisoformat(time)  # type: ignore[arg-type]  # anything but text is a TypeError
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
    except (TypeError, ValueError, OverflowError):
        return None


def _attributes(value: object) -> Mapping[str, str | int]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NotAMessage(("attributes",), "write a mapping, such as {partition: 0, offset: 12}")
    for name, held in value.items():
        if isinstance(held, bool) or not isinstance(held, str | int):
            raise NotAMessage(("attributes", name), "an attribute is text or an integer")
    return value
