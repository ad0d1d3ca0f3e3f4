"""What of a dead letter is published where all of it is more than the broker takes; the brokers are not known here."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge.admission import HEAD_BYTES, body_bytes
from bridge.dead_letters.letter import PREFIX, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.dead_letters.letter import Letter
    from bridge.message import HeaderValue

log = structlog.get_logger(__name__)

ESSENTIAL = {PREFIX + name for name in ("reason", "rule", "source", "message-id", "attempts")}
TRACE_BYTES = 256


class Kept(IntEnum):
    """From all to next to nothing; each is tried where the one before it is too large."""

    WHOLE = 0
    ORIGINAL = 1  # the message as it came, and of our headers those that say why
    HEAD = 2  # key, and the first HEAD_BYTES of the body
    TRACE = 3  # the first TRACE_BYTES of either


class Contents(NamedTuple):
    """What is published."""

    key: bytes | None
    body: bytes | None
    headers: Sequence[tuple[str, HeaderValue]]  # of the message
    told: Sequence[tuple[str, str]]  # headers of ours


def contents(letter: Letter, kept: Kept) -> Contents:
    """So much of a letter."""
    message, told = letter.message, describe(letter)
    if kept > Kept.WHOLE:
        told = [(name, value) for name, value in told if name in ESSENTIAL]
    if kept <= Kept.ORIGINAL:
        return Contents(message.key, message.body, message.headers, told)
    most = HEAD_BYTES if kept is Kept.HEAD else TRACE_BYTES
    key = message.key if kept is Kept.HEAD or message.key is None else message.key[:TRACE_BYTES]
    told.append((f"{PREFIX}body-bytes", str(body_bytes(message))))
    return Contents(key, None if message.body is None else message.body[:most], (), told)


def tell(letter: Letter, kept: Kept | None, cut: Callable[[int], None]) -> None:
    """Say what of a letter is at the broker; None: nothing. cut: counts letters of which some of the message is not."""
    if kept is Kept.WHOLE:
        return
    message = letter.message
    if kept is Kept.ORIGINAL:
        log.warning("dead_letter_shortened", message_id=message.id)
        return
    cut(1)
    size = body_bytes(message)
    if kept is None:
        log.error("dead_letter_given_up", source=message.source, message_id=message.id, reason=letter.reason,
                  body_bytes=size)  # fmt: skip
    else:
        log.error("dead_letter_cut", source=message.source, message_id=message.id, reason=letter.reason,
                  body_bytes=size)  # fmt: skip
