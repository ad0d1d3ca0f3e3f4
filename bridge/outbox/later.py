"""What is not ready in the SQLite outbox: retries, parked, delayed, and what their lanes hold back.

Every method runs inside a transaction of the writer's thread; the rules are those of ``lanes``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from bridge.call import Policy
from bridge.outbox.base import AWAY_MS, PUT_OFF_MS
from bridge.outbox.lanes import BEHIND_CREATE, BEHIND_OTHER, NONE, RELEASED_AT_ONCE, behind, blocked, bound
from bridge.outbox.rows import entries_of
from bridge.outbox.sifting import creates, heads, queue_range, sift
from bridge.outbox.sql import QUERIES
from bridge.outbox.state import QUEUE_BITS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from bridge.outbox.base import Entry, Queue
    from bridge.outbox.sifting import Lane
    from bridge.outbox.state import State

    Kinds = Collection[tuple[str, str]]  # workflows and operations

PARKED = 1  # in the column hold: the last verdict was PARK
RECALLED_AT_ONCE = 2_000  # rows of one transaction
_PAGE = 500  # rows looked at in one transaction, so that other work gets its turn


class Page(NamedTuple):
    """Some entries of one queue, and how far was looked for them."""

    entries: list[Entry]
    reached: int  # a seq
    more: bool  # there may be entries beyond it


class Moment(NamedTuple):
    """When something is given, and how far ``pending`` has given each queue in this process, as seqs."""

    now_ms: int
    read: Mapping[int, int]


class Later:
    """Holding back, giving and freeing."""

    def __init__(self, connection: sqlite3.Connection, state: State) -> None:
        self._connection = connection
        self._state = state

    # --- reading a queue in which lanes are held ---------------------------------------------------------------------

    def pending(self, number: int, after: int, limit: int) -> Page:
        """Up to ``limit`` entries that nothing holds back.

        What is held back moves behind its holder, so that no later reading meets it again.
        """
        holds = self._state.holds(number)
        size = max(limit, _PAGE) if holds else limit
        rows = self._connection.execute(QUERIES["pending"], (*queue_range(number, after), size)).fetchall()
        if not holds:
            return Page(entries_of(rows, self._state.shapes), rows[-1][0] if rows else after, more=len(rows) == size)
        free, held, looked_at = sift(self._connection, rows, self._state.shapes, limit)
        self._move_behind(number, held)
        reached = rows[looked_at - 1][0] if looked_at else after
        return Page(entries_of(free, self._state.shapes), reached, more=looked_at == size or looked_at < len(rows))

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
        return self._given(rows, now_ms, read), len(rows) == limit

    def fetch(self, number: int, limit: int, without: Kinds, moment: Moment) -> tuple[list[Entry], bool]:
        """See Outbox.fetch."""
        kept = [shape for shape, known in self._state.shapes.items() if (known[2], known[0]) in without]
        values = (AWAY_MS, *queue_range(number, 0), orjson.dumps(kept), limit)
        rows = self._connection.execute(QUERIES["fetch"], values).fetchall()
        return self._given(rows, *moment), len(rows) == limit

    def is_away(self, number: int) -> bool:
        """Whether something of this queue is settled until AWAY_MS."""
        return self._connection.execute(QUERIES["is_away"], (AWAY_MS, *queue_range(number, 0))).fetchone() is not None

    def _given(self, rows: Iterable[tuple[Any, ...]], now_ms: int, read: Mapping[int, int]) -> list[Entry]:
        """Those of these rows, in order of seq, that nothing holds back; as given from now on."""
        given = [row for row in rows if self._give(row, now_ms, read)]
        parked = [row[-2] == PARKED for row in given]
        self._state.given += len(given)
        self._state.parked_changed(-sum(parked))
        entries = entries_of([row[:-2] for row in given], self._state.shapes)
        return [entry._replace(parked=True) if was else entry for entry, was in zip(entries, parked, strict=True)]

    def _give(self, row: tuple[Any, ...], now_ms: int, read: Mapping[int, int]) -> bool:
        seq, create, lane_key = row[0], creates(row, self._state.shapes), row[-1]
        number = seq >> QUEUE_BITS
        self._state.lanes_changed(number)
        if self._state.holds(number) and blocked(heads(self._connection, (number, lane_key)), seq, create=create):
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
        limit = bound(heads(self._connection, lane), create=create)
        if not limit or room <= 0:
            return 0
        kind = BEHIND_CREATE if create else BEHIND_OTHER
        bounds = (now_ms, *lane, kind, min(limit, NONE - 1), room)
        return self._connection.execute(QUERIES["release"], bounds).rowcount

    def unpark(self, workflow: Queue, instance_ids: bytes, now_ms: int) -> None:
        """What is parked for these instances (a JSON array of ids) is due."""
        if self._connection.execute(QUERIES["unpark"], (now_ms, *workflow, instance_ids, AWAY_MS)).rowcount > 0:
            self._state.gained = True

    def clock_set(self, by_ms: int, after: int) -> int:
        """See Outbox.clock_set, for some of the rows after this one; gives the last of them, 0 where there is none."""
        [(reached,)] = self._connection.execute(QUERIES["later_reached"], (after, RECALLED_AT_ONCE)).fetchall()
        if reached is not None:
            self._connection.execute(QUERIES["clock_set"], (by_ms, after, reached, PUT_OFF_MS))
        return reached or 0

    def recall(self, rules: Collection[str], now_ms: int) -> bool:
        """Some of what was put off is due, but nothing of these rules; returns whether there may be more."""
        kept = [number for number, shape in self._state.shapes.items() if Policy.decode(shape[4]).rule in rules]
        values = (now_ms, PUT_OFF_MS, orjson.dumps(kept), RECALLED_AT_ONCE)
        recalled = self._connection.execute(QUERIES["recall"], values).rowcount
        if recalled > 0:
            self._state.gained = True
        return recalled == RECALLED_AT_ONCE
