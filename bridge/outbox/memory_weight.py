"""What the memory outbox holds, in bytes: each call, and once each message, however many calls it became."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.call import Call
    from bridge.message import Message


class Weight:
    """bytes: of the bodies of what was added and not removed yet. Messages are told apart as objects: all are held."""

    __slots__ = ("_calls", "bytes")

    def __init__(self) -> None:
        self.bytes = 0
        self._calls: dict[int, int] = {}  # id of a message -> how many of its calls are held

    def add(self, message: Message, call: Call) -> None:
        """A call that is held from now on, and with it its message."""
        key = id(message)
        calls = self._calls.get(key, 0)
        self._calls[key] = calls + 1
        self.bytes += len(call.body) if calls else len(call.body) + len(message.body or b"")

    def remove(self, message: Message, call: Call) -> None:
        """It is not held any more; with the last call of a message the message is gone, too."""
        key = id(message)
        self._calls[key] -= 1
        self.bytes -= len(call.body)
        if not self._calls[key]:
            del self._calls[key]
            self.bytes -= len(message.body or b"")
