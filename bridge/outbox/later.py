"""What is not ready in the SQLite outbox: retries, parked, delayed, and what their lanes hold back.

Every method runs inside a transaction of the writer's thread; the rules are those of ``lanes``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from bridge.call import Operation
from bridge.outbox.lanes import BEHIND_CREATE, BEHIND_OTHER, FREE, NONE, RELEASED_AT_ONCE, Heads, behind, blocked, bound
from bridge.outbox.rows import entries_of
from bridge.outbox.sql import QUERIES
from bridge.outbox.state import QUEUE_BITS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from bridge.outbox.base import Entry
    from bridge.outbox.state import State

    Lane = tuple[int, str]  # number of the queue, lane key

PARKED = 1  # in the column hold: the last verdict was PARK
_CREATE = Operation.CREATE.value
_PAGE = 500  # rows looked at in one transaction, so that other work gets its turn
_SEQ, _SHAPE, _INSTANCE, _LANE = 0, 1, 2, 4  # places in a row


def queue_range(number: int, after: int) -> tuple[int, int]:
    """The seqs of a queue beyond ``after``, both bounds exclusive."""
    return max(after, number << QUEUE_BITS), (number + 1) << QUEUE_BITS


class Page(NamedTuple):
    """Some entries of one queue, and how far was looked for them."""

    entries: list[Entry]
    reached: int  # a seq
    more: bool  # there may be entries beyond it


class Later:
    """Holding back, giving and freeing."""

    def __init__(self, connection: sqlite3.Connection, state: State) -> None:
        self._connection = connection
        self._state = state

    def heads(self, lane: Lane) -> Heads:
        """Five seeks in the index of lanes."""
        found = self._connection.execute(QUERIES["heads"], lane).fetchone()
        return Heads(*(NONE if seq is None else seq for seq in found))

    def _creates(self, row: tuple[Any, ...]) -> bool:
        return self._state.shapes[row[_SHAPE]][0] == _CREATE

    # --- reading a queue in which lanes are held ---------------------------------------------------------------------

    def pending(self, number: int, after: int, limit: int) -> Page:
        """Up to ``limit`` entries that nothing holds back.

        What is held back moves behind its holder, so that no later reading meets it again.
        """
        holds = self._state.holds(number)
        size = max(limit, _PAGE) if holds else limit
        rows = self._connection.execute(QUERIES["pending"], (*queue_range(number, after), size)).fetchall()
        heads = self._heads_of(number, rows) if holds else {}
        free: list[tuple[Any, ...]] = []
        held: list[tuple[int, int]] = []  # kind, seq
        looked_at = 0
        for row in rows:
            looked_at += 1
            if not holds or not self._holds_back(row, heads, held):
                free.append(row)
            if len(free) == limit:
                break
        self._move_behind(number, held)
        reached = rows[looked_at - 1][_SEQ] if looked_at else after
        return Page(entries_of(free, self._state.shapes), reached, more=looked_at == size or looked_at < len(rows))

    def _heads_of(self, number: int, rows: Iterable[tuple[Any, ...]]) -> dict[str, Heads]:
        """The heads of all lanes that these rows lie in. Few are held: one query finds out which, a seek for each."""
        keys = list({row[_LANE] or row[_INSTANCE] for row in rows})
        held = self._connection.execute(QUERIES["lanes_held"], (number, orjson.dumps(keys))).fetchall()
        return dict.fromkeys(keys, FREE) | {key: self.heads((number, key)) for (key,) in held}

    def _holds_back(self, row: tuple[Any, ...], heads: dict[str, Heads], held: list[tuple[int, int]]) -> bool:
        seq, create, lane_key = row[_SEQ], self._creates(row), row[_LANE] or row[_INSTANCE]
        found = heads[lane_key]
        if found is FREE or not blocked(found, seq, create=create):
            return False
        held.append((behind(create=create), seq))
        heads[lane_key] = found.holding_back(seq, create=create)
        return True

    def _move_behind(self, number: int, held: Sequence[tuple[int, int]]) -> None:
        if not held:
            return
        self._connection.executemany(QUERIES["entry_to_later"], held)
        self._connection.executemany(QUERIES["delete_entry"], [(seq,) for _, seq in held])
        self._state.ready_changed(number, -len(held))
        self._state.later_changed(len(held))

    # --- what is due -------------------------------------------------------------------------------------------------

    def due(self, now_ms: int, limit: int, read: Mapping[int, int]) -> tuple[list[Entry], bool]:
        """Up to ``limit`` entries whose time has come, and whether there is more to look at.

        read: how far ``pending`` has given each queue in this process, as seqs.
        """
        rows = self._connection.execute(QUERIES["due"], (now_ms, limit)).fetchall()
        rows.sort()  # by seq: within a lane in order of arrival
        due = [row for row in rows if self._give(row, now_ms, read)]
        given = [row[:-2] for row in due]
        self._state.given += len(given)
        self._state.parked_changed(-sum(row[-2] == PARKED for row in due))
        return entries_of(given, self._state.shapes), len(rows) == limit

    def _give(self, row: tuple[Any, ...], now_ms: int, read: Mapping[int, int]) -> bool:
        seq, create, lane_key = row[_SEQ], self._creates(row), row[-1]
        number = seq >> QUEUE_BITS
        self._state.lanes_changed(number)
        if self._state.holds(number) and blocked(self.heads((number, lane_key)), seq, create=create):
            self._connection.execute(QUERIES["hold_back"], (behind(create=create), seq))
            return False
        if self._unread_before(number, seq, read):
            self._return(number, seq)
            self.release({(number, lane_key)}, now_ms)
            return False
        self._connection.execute(QUERIES["give"], (seq,))
        return True

    def _unread_before(self, number: int, seq: int, read: Mapping[int, int]) -> bool:
        """Whether the queue has entries before this one that ``pending`` has not given yet (as after a restart).

        One of its own lane may be among them, and there is no index to ask.
        """
        after, _ = queue_range(number, read.get(number, 0))
        return seq > after and self._connection.execute(QUERIES["ready_between"], (after, seq)).fetchone() is not None

    def _return(self, number: int, seq: int) -> None:
        """Back to its place in the queue: ``pending`` will give it in its turn."""
        self._connection.execute(QUERIES["later_to_entry"], (seq,))
        [(hold,)] = self._connection.execute(QUERIES["delete_later_one"], (seq,)).fetchall()
        self._state.later_changed(-1)
        self._state.parked_changed(-(hold == PARKED))
        self._state.ready_changed(number, 1)
        self._state.gained = True

    # --- freeing lanes -----------------------------------------------------------------------------------------------

    def release(self, lanes: Iterable[Lane], now_ms: int) -> None:
        """Make due what nothing holds back any more in these lanes, a few of each at a time.

        The rest follows when those are settled: each of them brings its lane here again.
        """
        for lane in lanes:
            self._state.lanes_changed(lane[0])
            if self._state.holds(lane[0]):
                self._release(lane, now_ms)

    def _release(self, lane: Lane, now_ms: int) -> None:
        room = RELEASED_AT_ONCE
        while room > 0:
            freed = self._release_some(lane, now_ms, room, create=False)
            freed += self._release_some(lane, now_ms, room - freed, create=True)
            if not freed:
                return
            self._state.gained = True
            room -= freed

    def _release_some(self, lane: Lane, now_ms: int, room: int, *, create: bool) -> int:
        limit = bound(self.heads(lane), create=create)
        if not limit or room <= 0:
            return 0
        kind = BEHIND_CREATE if create else BEHIND_OTHER
        bounds = (now_ms, *lane, kind, min(limit, NONE - 1), room)
        return self._connection.execute(QUERIES["release"], bounds).rowcount

    def unpark(self, number: int, lane_keys: Sequence[str], now_ms: int) -> None:
        """What is parked in these lanes is due."""
        rows = [(now_ms, number, lane_key) for lane_key in lane_keys]
        if self._connection.executemany(QUERIES["unpark"], rows).rowcount > 0:
            self._state.gained = True
