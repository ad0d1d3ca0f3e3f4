"""Verdicts on entries of the SQLite outbox: what leaves it, what goes to ``later``, what dies.

Every method runs inside a transaction of the writer's thread.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from bridge.call import Policy
from bridge.outbox import history
from bridge.outbox.base import Settlement, Verdict
from bridge.outbox.dead_rows import Death, body_of, dead_entry_row, weight
from bridge.outbox.lanes import PARK, RETRY
from bridge.outbox.later import PARKED
from bridge.outbox.rows import ENTRY_SIZE, entries_of, is_shared
from bridge.outbox.sql import QUERIES
from bridge.outbox.state import QUEUE_BITS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from bridge.outbox.generations import Generations
    from bridge.outbox.later import Later
    from bridge.outbox.ledger import Ledger
    from bridge.outbox.sifting import Lane
    from bridge.outbox.state import State

# The columns hold and kind. A dead one holds its lane like a retry, and is never due.
_HOLDS = {Verdict.PARK: (PARKED, PARK), Verdict.RETRY: (2, RETRY), Verdict.DEAD: (3, RETRY)}


class Records(NamedTuple):
    """What remembers verdicts."""

    ledger: Ledger
    generations: Generations


class Settling:
    """Applies settlements and keeps lanes and counts right."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        state: State,
        later: Later,
        records: Records,
        clock: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._state = state
        self._later = later
        self._ledger, self._generations = records
        self._clock = clock

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Apply verdicts in their order; an entry that is gone already is passed over."""
        by_verdict: dict[Verdict, dict[int, Settlement]] = defaultdict(dict)
        for settlement in settlements:
            by_verdict[settlement[1]][settlement[0][0]] = settlement
        dead = by_verdict.pop(Verdict.DEAD, {})
        gone = by_verdict.pop(Verdict.DELIVERED, {})
        self._ledger.settled([*gone.values(), *dead.values()])
        if dead:
            self._bury(dead.values())
            blocking = {seq: s for seq, s in dead.items() if Policy.decode(s.entry.policy).blocks_lane}
            if blocking:
                self._put_off(Verdict.DEAD, blocking)
                dead = {seq: s for seq, s in dead.items() if seq not in blocking}
        if gone:
            self._generations.settled(gone.values())
        if gone or dead:
            self.remove(sorted({*gone, *dead}))
        for verdict, some in by_verdict.items():
            self._put_off(verdict, some)

    # --- delivered and dead ------------------------------------------------------------------------------------------

    def remove(self, seqs: list[int]) -> None:
        """These entries are gone, rising; what they held is free."""
        self.unshare([seq for seq in seqs if is_shared(seq)])
        if self._delete_ready(seqs) < len(seqs) and self._state.rows_later:
            self._delete_later(seqs)

    def _delete_ready(self, seqs: list[int]) -> int:
        by_queue: dict[int, list[int]] = defaultdict(list)
        for seq in seqs:
            by_queue[seq >> QUEUE_BITS].append(seq)
        deleted = 0
        for number, own in by_queue.items():
            many = self._delete_of_queue(own)
            self._state.ready_changed(number, -many)
            deleted += many
        return deleted

    def _delete_of_queue(self, seqs: list[int]) -> int:
        first, last = seqs[0], seqs[-1]
        if (last >> 1) - (first >> 1) + 1 == len(seqs):  # unbroken: a range costs less than a list
            return self._connection.execute(QUERIES["delete_range"], (first, last)).rowcount
        return self._connection.execute(QUERIES["delete_entries"], (_listed(seqs),)).rowcount

    def _delete_later(self, seqs: list[int]) -> None:
        rows = self._connection.execute(QUERIES["delete_later"], (_listed(seqs),)).fetchall()
        self._state.later_changed(-len(rows))
        self._state.given -= sum(given for _, _, given, _ in rows)
        self._state.parked_changed(-sum(hold == PARKED and not given for *_, given, hold in rows))
        self._free((number, lane_key) for number, lane_key, *_ in rows)

    def _free(self, lanes: Iterable[Lane]) -> None:
        self._later.release(dict.fromkeys(lanes), self._clock())

    def unshare(self, seqs: list[int]) -> None:
        """These entries have no part in the original any more that lies in ``originals``."""
        if not seqs:
            return
        listed = (_listed(seqs),)
        counts = [
            (many, number)
            for query in ("shared_entries", "shared_later")
            for number, many in self._connection.execute(QUERIES[query], listed).fetchall()
        ]
        self._connection.executemany(QUERIES["unshare"], counts)
        self._connection.execute(QUERIES["delete_originals"], (_listed([number for _, number in counts]),))

    def _bury(self, settlements: Iterable[Settlement]) -> None:
        """Write the dead letters; the rows are removed with the delivered ones."""
        found = [(s, letter) for s in settlements if (letter := self._dead_letter(s)) is not None]
        for settlement, letter in found:
            number = self._connection.execute(QUERIES["insert_dead_letter"], letter).lastrowid
            if Policy.decode(settlement.entry.policy).blocks_lane:
                self._connection.execute(QUERIES["insert_blocked"], (settlement.entry.seq, number))
                self._state.blocked_changed(1)
        self._state.died(len(found), sum(weight(letter) for _, letter in found))

    def _dead_letter(self, settlement: Settlement) -> tuple[Any, ...] | None:
        seq = (settlement.entry.seq,)
        row = (
            self._connection.execute(QUERIES["whole_entry"], seq).fetchone()
            or self._connection.execute(QUERIES["whole_later"], seq).fetchone()
        )
        if row is None:
            return None
        [entry] = entries_of([row[:ENTRY_SIZE]], self._state.shapes)
        number, key, body, body_size, rest, tried = row[ENTRY_SIZE:]
        if number is None:
            original = (key, body_of(entry, body, body_size), rest)
        else:
            original = self._connection.execute(QUERIES["original"], (number,)).fetchone()
        attempts = entry.attempts + settlement.attempted
        return dead_entry_row(
            entry,
            original,
            Death(settlement.reason, settlement.detail, attempts, settlement.settled_ms, _after(tried, settlement)),
        )

    # --- later -------------------------------------------------------------------------------------------------------

    def _put_off(self, verdict: Verdict, settlements: dict[int, Settlement]) -> None:
        """RETRY and PARK: out of the queue, or back to waiting where the entry lies in ``later`` already."""
        listed = (_listed(list(settlements)),)
        ready = self._connection.execute(QUERIES["among_entries"], listed).fetchall()
        waiting = self._connection.execute(QUERIES["among_later"], listed).fetchall()
        self._connection.executemany(QUERIES["entry_to_later"], [(None, seq) for seq, _ in ready])
        self._connection.executemany(QUERIES["delete_entry"], [(seq,) for seq, _ in ready])
        for seq, _ in ready:
            self._state.ready_changed(seq >> QUEUE_BITS, -1)
            self._state.lanes_changed(seq >> QUEUE_BITS)
        self._state.later_changed(len(ready))
        self._state.given -= sum(row[4] for row in waiting)
        parked = len(ready) + len(waiting) if verdict is Verdict.PARK else 0
        self._state.parked_changed(parked - sum(row[5] == PARKED and not row[4] for row in waiting))
        known = {row[0]: row[1] for row in (*ready, *waiting)}
        changes = [
            (s.attempted, s.waited_ms, _due_ms(s), *_HOLDS[verdict], _after(known[seq], s), seq)
            for seq, s in settlements.items()
            if seq in known
        ]
        self._connection.executemany(QUERIES["settle_later"], changes)
        self._free((number, lane_key) for _, _, number, lane_key, *_ in waiting)


def _due_ms(settlement: Settlement) -> int | None:
    """What is dead and holds its lane is never due."""
    return None if settlement.verdict is Verdict.DEAD else settlement.at_ms


def _after(column: bytes | None, settlement: Settlement) -> bytes | None:
    return history.stored(history.with_attempt(history.read(column), settlement)) if settlement.attempted else column


def _listed(seqs: Sequence[int]) -> bytes:
    return orjson.dumps(seqs)
