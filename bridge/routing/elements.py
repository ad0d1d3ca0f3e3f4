"""How much ``for_each`` may make of one message: a list is as long as whoever sends it likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from bridge.errors import RenderError

if TYPE_CHECKING:
    from bridge.message import Message

MAX_CALLS: Final = 10_000
MAX_BYTES: Final = 64 * 1024 * 1024


class Spent(NamedTuple):
    """What the elements of one message have become so far, in all rules together.

    calls: dead letters of single elements among them. size: bytes of bodies and lanes, and for a dead letter those of
    the original, which is kept with each.
    """

    message: Message | None = None
    calls: int = 0
    size: int = 0


def original_size(message: Message) -> int:
    """Bytes that keeping a message takes."""
    headers = sum([len(name) + len(value) for name, value in message.headers if isinstance(value, bytes | str)])
    return len(message.body or b"") + len(message.key or b"") + headers


def too_many() -> RenderError:
    """Why a rule makes nothing of a message's elements: there are more than ``MAX_CALLS``."""
    return _too_many(f"{MAX_CALLS:,} calls")


def too_big() -> RenderError:
    """The same where they are more than ``MAX_BYTES`` together."""
    return _too_many(f"{MAX_BYTES // 1024 // 1024} MiB of calls")


def _too_many(limit: str) -> RenderError:
    return RenderError(f"more than {limit}, the most that the elements of one message may make", "too_many_calls")
