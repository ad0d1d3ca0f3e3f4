"""The dead letters that an outbox keeps: some of them in order, and each as plain data; prints nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from bridge import recorded
from bridge.call import first_body, second_body
from bridge.outbox.overview import EVERY
from bridge.recorded.writing import body_with_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.call import Call
    from bridge.outbox.base import StoredDeadLetter
    from bridge.outbox.overview import DeadLetterFilter, OutboxAdmin

PAGE = 100  # letters read at once; each may hold a message of megabytes
# Strings, signs, and everything else that stands alone. Every character of JSON but white space is in one of them.
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_OPENING, _CLOSING = ("{", "["), ("}", "]")


def select(
    admin: OutboxAdmin, after: int, limit: int, chosen: DeadLetterFilter = EVERY, *, newest_first: bool = False
) -> Iterator[StoredDeadLetter]:
    """Letters in order of death, at most ``limit``: ``number > after``, or with newest_first below ``after``, 0: all.

    Read page by page, so that it does not matter how many are kept. Raises OutboxError.
    """
    while limit > 0:
        size = min(PAGE, limit)
        if newest_first:
            page = admin.newest_dead_letters(after or None, size, chosen)
        else:
            page = admin.dead_letters(after, size, chosen)
        yield from page
        if len(page) < size:
            return
        limit -= size
        after = page[-1].number


def encode(stored: StoredDeadLetter) -> bytes:
    """One line of JSON that holds everything of a letter, its message to the byte; see ``plain``."""
    return orjson.dumps(plain(stored), default=str)


def plain(stored: StoredDeadLetter) -> dict[str, Any]:
    """Everything of a letter as values that JSON has words for.

    The message is in the form of bridge.recorded, which every tool that takes recorded messages can read.
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
        "config": letter.config,
        "redriven": letter.redriven,
        "history": [
            {"at_ms": a.at_ms, "at": time_of(a.at_ms), "reason": a.reason, "code": a.code, "detail": _text(a.detail)}
            for a in letter.history
        ],
        "message": _readable(recorded.plain(letter.message)),
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


def _call(call: Call) -> dict[str, Any]:
    second = second_body(call.body)
    known = {**call._asdict(), "body": body_with_json(first_body(call.body)), "policy": orjson.loads(call.policy)}
    return {**known, "then": body_with_json(second)} if second else known


def _readable(value: Any) -> Any:  # noqa: ANN401  any value of JSON
    """The same, its texts readable."""
    if isinstance(value, dict):
        return {_text(name): _readable(held) for name, held in value.items()}
    return [_readable(held) for held in value] if isinstance(value, list) else _text(value)


def _text(value: Any) -> Any:  # noqa: ANN401  an attribute may be a number
    """Text without lone surrogates, which UTF-8 has no bytes for; anything else as it is."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
