"""The dead letters that an outbox keeps: some of them in order, and each as plain data; prints nothing."""

from __future__ import annotations

import base64
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.call import Call
    from bridge.message import HeaderValue, Message
    from bridge.outbox.base import OutboxAdmin, StoredDeadLetter

PAGE = 100  # letters read at once; each may hold a message of megabytes
# Strings, signs, and everything else that stands alone. Every character of JSON but white space is in one of them.
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_OPENING, _CLOSING = ("{", "["), ("}", "]")
_TYPES = {str: "text", bool: "bool", int: "int", float: "float", type(None): "null"}


def select(admin: OutboxAdmin, after: int, limit: int, reason: str = "") -> Iterator[StoredDeadLetter]:
    """Letters with ``number > after`` in order of death, at most ``limit``, of one reason if it is given.

    Read page by page, so that it does not matter how many are kept. Raises OutboxError.
    """
    while limit > 0:
        page = admin.dead_letters(after, PAGE)
        for stored in page:
            if not reason or stored.letter.reason == reason:
                yield stored
                limit -= 1
                if not limit:
                    return
        if len(page) < PAGE:
            return
        after = page[-1].number


def encode(stored: StoredDeadLetter) -> bytes:
    """One line of JSON that holds everything of a letter, its message to the byte; see ``plain``."""
    return orjson.dumps(plain(stored), default=str)


def plain(stored: StoredDeadLetter) -> dict[str, Any]:
    """Everything of a letter as values that JSON has words for.

    Bytes become ``{"text": …}`` where they are UTF-8, else ``{"base64": …}``; a body that is JSON has its value under
    ``json`` too, with every number as it is spelled. A tombstone's body is null.
    """
    letter = stored.letter
    return {
        "number": stored.number,
        "reason": letter.reason,
        "detail": _text(letter.detail),
        "rule": letter.rule,
        "attempts": letter.attempts,
        "died_ms": letter.died_ms,
        "died_at": time_of(letter.died_ms),
        "message": _message(letter.message),
        "call": None if letter.call is None else _call(letter.call),
    }


def time_of(epoch_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds; "" for a time that is out of the calendar."""
    try:
        moment = datetime.fromtimestamp(epoch_ms // 1000, UTC).replace(microsecond=epoch_ms % 1000 * 1000)
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def indented(json_text: str) -> str:
    """JSON laid out for reading. Nothing but white space changes: numbers, repeated names and escapes stay."""
    written: list[str] = []
    depth, last = 0, ""
    for piece in _PIECE.findall(json_text):
        depth -= piece in _CLOSING
        if last == "," or (last in _OPENING) != (piece in _CLOSING):
            written.append("\n" + "  " * depth)
        written.append(": " if piece == ":" else piece)
        depth += piece in _OPENING
        last = piece
    return "".join(written)


def _message(message: Message) -> dict[str, Any]:
    return {
        "source": message.source,
        "id": message.id,
        "channel": _text(message.channel),
        "key": None if message.key is None else _bytes(message.key),
        "headers": [{"name": _text(name), **_header(value)} for name, value in message.headers],
        "body": None if message.body is None else _body(message.body),
        "timestamp_ms": message.timestamp_ms,
        "attributes": {_text(name): _text(value) for name, value in message.attributes.items()},
        "redelivered": message.redelivered,
        "has_identity": message.has_identity,
    }


def _call(call: Call) -> dict[str, Any]:
    known = call._asdict()
    return {**known, "body": _body(call.body), "policy": orjson.loads(call.policy)}


def _body(body: bytes) -> dict[str, Any]:
    """The bytes, and what they say if they are JSON: the text itself, whose line breaks are only between its values."""
    held: dict[str, Any] = dict(_bytes(body))
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return held
    return {**held, "json": orjson.Fragment(body.replace(b"\r", b" ").replace(b"\n", b" "))}


def _bytes(value: bytes) -> dict[str, str]:
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _header(value: HeaderValue) -> dict[str, Any]:
    """The value with its type."""
    if isinstance(value, bytes):
        return {"type": "bytes", **_bytes(value)}
    return {"type": _TYPES.get(type(value), type(value).__name__), "value": _exact(value)}


def _exact(value: HeaderValue) -> object:
    """The value, or its text where JSON would change it: NaN, infinity, integers beyond 64 bits."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else str(value)
    return _text(value)


def _text(value: Any) -> Any:  # noqa: ANN401  an attribute may be a number
    """Text without lone surrogates, which UTF-8 has no bytes for; anything else as it is."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
