"""Dead letters that the SQLite outbox keeps: looked at, changed, let go. Every method runs in a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.outbox.base import NO_LANE, Queue
from bridge.outbox.dead_rows import dead_letter_of, dead_letter_row, weight
from bridge.outbox.rows import is_shared, rest_of
from bridge.outbox.sql import QUERIES
from bridge.outbox.state import QUEUE_BITS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from bridge.call import Call
    from bridge.message import Message
    from bridge.outbox.base import DeadLetter, StoredDeadLetter
    from bridge.outbox.settling import Settling
    from bridge.outbox.state import State


EXPIRED_AT_ONCE = 500  # letters that are looked at in one transaction: nearly all die in the order of their numbers


class Letters:
    """Used by the writer's thread alone."""

    def __init__(self, connection: sqlite3.Connection, state: State, settling: Settling) -> None:
        self._connection = connection
        self._state = state
        self._settling = settling

    def read(self, number: int) -> StoredDeadLetter | None:
        """One, whole."""
        row = self._connection.execute(QUERIES["dead_letter"], (number,)).fetchone()
        return None if row is None else dead_letter_of(row)

    def is_kept(self, number: int) -> bool:
        """Whether there is one of this number."""
        return self._connection.execute(QUERIES["dead_letter"], (number,)).fetchone() is not None

    def replace(self, number: int, letter: DeadLetter) -> bool:
        """It is this one from now on; False where there is none of this number."""
        before = self._connection.execute(QUERIES["dead_letter"], (number,)).fetchone()
        if before is None:
            return False
        row = dead_letter_row(letter)
        self._connection.execute(QUERIES["replace_dead_letter"], (number, *row))
        self._state.died(0, weight(row) - weight(before))
        return True

    def release(self, number: int) -> bool:
        """It holds its lane no longer; whether it did."""
        seq = self._unblock(number)
        if seq is not None:
            self._settling.remove([seq])
        return seq is not None

    def discard(self, number: int) -> bool:
        """It is gone, and with it what it held; whether it was there."""
        self.release(number)
        sizes = self._connection.execute(QUERIES["delete_dead_letter"], (number,)).fetchall()
        self._state.died(-len(sizes), -sum(size for (size,) in sizes))
        return bool(sizes)

    def expire(self, before_ms: int) -> int:
        """Of the first letters those are gone that died before that time and block no lane; gives how many."""
        sizes = self._connection.execute(QUERIES["expire_dead_letters"], (EXPIRED_AT_ONCE, before_ms)).fetchall()
        self._state.died(-len(sizes), -sum(size for (size,) in sizes))
        return len(sizes)

    def revive(self, number: int, calls: Sequence[tuple[Message, Call]], now_ms: int) -> bool:
        """The call that blocks its lane is this one from now on, and is due; False where it cannot take its place.

        It can where it is the only one, and of the same lane.
        """
        row = self._connection.execute(QUERIES["blocked_by"], (number,)).fetchone()
        if row is None or len(calls) != 1:
            return False
        [(message, call)] = calls
        seq, *lane = row
        if lane != [self._state.numbers.get(_queue(call)), call.lane or call.instance_id]:
            return False
        self._unblock(number)
        self._settling.unshare([seq] if is_shared(seq) else [])
        values = (self._shape(message, call), call.body, call.not_before_ms, message.key, message.body)
        self._connection.execute(QUERIES["revive"], (*values, rest_of(message), now_ms, seq))
        self._state.revived(seq >> QUEUE_BITS)
        return True

    def _unblock(self, number: int) -> int | None:
        row = self._connection.execute(QUERIES["delete_blocked"], (number,)).fetchone()
        if row is None:
            return None
        self._state.blocked_changed(-1)
        seq: int = row[0]
        return seq

    def _shape(self, message: Message, call: Call) -> int:
        operation, target, workflow, _, event_type, _, policy, lane, priority, _ = call
        key = (operation, target, workflow, event_type, policy, priority, message.source, lane < NO_LANE)
        return self._state.shaping[key][0]


def _queue(call: Call) -> Queue:
    """Where a call lies, as Entry.queue has it."""
    return Queue(call.target, "" if call.lane >= NO_LANE else call.workflow)
