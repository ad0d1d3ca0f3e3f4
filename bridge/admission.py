"""What of a source's messages does not come before its rules: those that are too large, and those that are too old.

The rules are in bridge.routing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from bridge.routing.outcome import SKIP, Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.message import Message

TOO_LARGE: Final = "too_large"  # a dead letter's reason; the same as of a call that the API would not take
TOO_OLD: Final = "too_old"  # the reason under which messages past ``ignore_older_than`` are counted as dropped
HEAD_BYTES: Final = 16 * 1024  # of a body that is too large are kept


class Admission(NamedTuple):
    """What one source lets through."""

    max_message_bytes: int = 2**63
    ignore_older_than_ms: int | None = None  # by the message's own timestamp

    @classmethod
    def of(cls, max_message_bytes: int, ignore_older_than: timedelta | None) -> Admission:
        """From a source's settings."""
        age = ignore_older_than
        return cls(max_message_bytes, None if age is None else age // timedelta(milliseconds=1))

    def sized(self, messages: Sequence[Message], total: int) -> tuple[Sequence[Message], list[Rejected]]:
        """Those that may be decoded, and those that are too large.

        total: the bytes of all bodies together, which mostly says by itself that none is too large.
        """
        if total <= self.max_message_bytes:
            return messages, []
        fit, rejected = [], []
        for message in messages:
            if self.is_too_large(message):
                rejected.append(self.rejected(message))
            else:
                fit.append(message)
        return fit, rejected

    def is_too_large(self, message: Message) -> bool:
        """Also of one whose body was cut already."""
        return len(message.body or b"") > self.max_message_bytes or is_cut(message)

    def rejected(self, message: Message) -> Rejected:
        """The dead letter of a message that is too large, with the head of its body."""
        size, head = body_bytes(message), (message.body or b"")[: min(HEAD_BYTES, self.max_message_bytes)]
        kept = message._replace(body=head, attributes={**message.attributes, "body_bytes": size})
        why = (
            f"the body has {size} bytes, max_message_bytes is {self.max_message_bytes}; the first {len(head)} are kept"
        )
        return Rejected(kept, TOO_LARGE, why)

    def skip_old(self, messages: Sequence[Message], values: list[object], now_ms: int) -> list[int]:
        """Mark messages past the limit as not to be routed; returns their places."""
        if not self.ignore_older_than_ms:
            return []
        limit_ms = now_ms - self.ignore_older_than_ms
        old = [
            place
            for place, message in enumerate(messages)
            if message.timestamp_ms is not None and message.timestamp_ms < limit_ms and values[place] is not SKIP
        ]
        for place in old:
            values[place] = SKIP
        return old


EVERYTHING: Final = Admission()


def body_bytes(message: Message) -> int:
    """How many bytes the body had as it was published."""
    said = message.attributes.get("body_bytes", 0)
    return max(len(message.body or b""), said if isinstance(said, int) else 0)


def is_cut(message: Message) -> bool:
    """Whether only the head of the body is here."""
    return body_bytes(message) > len(message.body or b"")
