"""Verdicts on entries of the SQLite outbox: what leaves it, what goes to ``later``, what dies.

Every method runs inside a transaction of the writer's thread.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import orjson

from bridge.outbox.base import Queue, Settlement, Verdict
from bridge.outbox.lanes import PARK, RETRY
from bridge.outbox.rows import ENTRY_SIZE, Death, body_of, dead_entry_row, entries_of, is_shared
from bridge.outbox.sql import QUERIES
from bridge.outbox.state import QUEUE_BITS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from bridge.outbox.later import Lane, Later
    from bridge.outbox.state import State

_HOLDS = {Verdict.PARK: (1, PARK), Verdict.RETRY: (2, RETRY)}  # the columns hold and kind


class Settling:
    """Applies settlements and keeps lanes and counts right."""

    def __init__(self, connection: sqlite3.Connection, state: State, later: Later, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._state = state
        self._later = later
        self._clock = clock

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Apply verdicts in their order; an entry that is gone already is passed over."""
        by_verdict: dict[Verdict, dict[int, Settlement]] = defaultdict(dict)
        for settlement in settlements:
            by_verdict[settlement[1]][settlement[0][0]] = settlement
        dead = by_verdict.pop(Verdict.DEAD, {})
        gone = by_verdict.pop(Verdict.DELIVERED, {})
        if dead:
            self._bury(dead.values())
        if gone and (self._state.renewed or any([settlement[8] for settlement in gone.values()])):  # noqa: C419  faster
            self._note_generations(gone.values())
        if gone or dead:
            self._remove(sorted({*gone, *dead}))
        for verdict, some in by_verdict.items():
            self._put_off(verdict, some)

    # --- delivered and dead ------------------------------------------------------------------------------------------

    def _remove(self, seqs: list[int]) -> None:
        self._unshare([seq for seq in seqs if is_shared(seq)])
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
        self._state.given -= sum(given for _, _, given in rows)
        self._free((number, lane_key) for number, lane_key, _ in rows)

    def _free(self, lanes: Iterable[Lane]) -> None:
        self._later.release(dict.fromkeys(lanes), self._clock())

    def _unshare(self, seqs: list[int]) -> None:
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
        letters = [letter for settlement in settlements if (letter := self._dead_letter(settlement)) is not None]
        self._connection.executemany(QUERIES["insert_dead_letter"], letters)
        self._state.died(len(letters))

    def _dead_letter(self, settlement: Settlement) -> tuple[Any, ...] | None:
        seq = (settlement.entry.seq,)
        row = (
            self._connection.execute(QUERIES["whole_entry"], seq).fetchone()
            or self._connection.execute(QUERIES["whole_later"], seq).fetchone()
        )
        if row is None:
            return None
        [entry] = entries_of([row[:ENTRY_SIZE]], self._state.shapes)
        number, key, body, body_size, rest = row[ENTRY_SIZE:]
        if number is None:
            original = (key, body_of(entry, body, body_size), rest)
        else:
            original = self._connection.execute(QUERIES["original"], (number,)).fetchone()
        attempts = entry.attempts + settlement.attempted
        return dead_entry_row(
            entry, original, Death(settlement.reason, settlement.detail, attempts, settlement.settled_ms)
        )

    def _note_generations(self, settlements: Iterable[Settlement]) -> None:
        """Instances under another id than their call's become the newest; a new one under its own id ends that."""
        renewed, created = [], []
        for settlement in settlements:
            name = (*settlement.entry.scope, settlement.entry.instance_id)
            if settlement.generation:
                renewed.append((*name, settlement.generation))
            elif settlement.reason == "created":
                created.append(name)
        self._connection.executemany(QUERIES["forget_newest"], created)
        self._connection.executemany(QUERIES["store_newest"], renewed)
        self._state.renew(Queue(target, workflow) for target, workflow, *_ in renewed)

    # --- later -------------------------------------------------------------------------------------------------------

    def _put_off(self, verdict: Verdict, settlements: dict[int, Settlement]) -> None:
        """RETRY and PARK: out of the queue, or back to waiting where the entry lies in ``later`` already."""
        listed = (_listed(list(settlements)),)
        ready = self._connection.execute(QUERIES["among_entries"], listed).fetchall()
        waiting = self._connection.execute(QUERIES["among_later"], listed).fetchall()
        self._connection.executemany(QUERIES["entry_to_later"], [(None, seq) for (seq,) in ready])
        self._connection.executemany(QUERIES["delete_entry"], ready)
        for (seq,) in ready:
            self._state.ready_changed(seq >> QUEUE_BITS, -1)
            self._state.lanes_changed(seq >> QUEUE_BITS)
        self._state.later_changed(len(ready))
        self._state.given -= sum(row[3] for row in waiting)
        changes = [(s.attempted, s.at_ms, *_HOLDS[verdict], seq) for seq, s in settlements.items()]
        self._connection.executemany(QUERIES["settle_later"], changes)
        self._free((number, lane_key) for _, number, lane_key, _ in waiting)


def _listed(seqs: Sequence[int]) -> bytes:
    return orjson.dumps(seqs)
