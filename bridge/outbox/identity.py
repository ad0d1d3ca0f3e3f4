"""What a message without a position is recognised by when it comes again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.outbox.bindable import plain

if TYPE_CHECKING:
    from bridge.message import Message


def identity(message: Message) -> str:
    """Unique within its source: a copy of a message in another queue of the source is a message of its own."""
    queue = message.attributes.get("queue")
    # The length keeps apart what a separator could not: any character may stand in either name.
    return plain(message.id if queue is None else f"{len(str(queue))}:{queue}:{message.id}")
