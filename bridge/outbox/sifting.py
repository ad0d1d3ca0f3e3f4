"""Which ready entries of a queue its held lanes hold back: reads of the SQLite outbox, on either connection.

The rules are those of ``lanes``; what is held back is moved by ``later``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from bridge.call import Operation
from bridge.outbox.lanes import FREE, NONE, Heads, behind, blocked
from bridge.outbox.sql import QUERIES
from bridge.outbox.state import QUEUE_BITS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from bridge.outbox.rows import Row, Shape

    Lane = tuple[int, str]  # number of the queue, lane key

_CREATE = Operation.CREATE.value
_SEQ, _SHAPE, _INSTANCE, _LANE = 0, 1, 2, 4  # places in a row


def queue_range(number: int, after: int) -> tuple[int, int]:
    """The seqs of a queue beyond ``after``, both bounds exclusive."""
    return max(after, number << QUEUE_BITS), (number + 1) << QUEUE_BITS


def creates(row: Row, shapes: Mapping[int, Shape]) -> bool:
    """Whether a row is that of a create."""
    return shapes[row[_SHAPE]][0] == _CREATE


def heads(connection: sqlite3.Connection, lane: Lane) -> Heads:
    """Five seeks in the index of lanes."""
    found = connection.execute(QUERIES["heads"], lane).fetchone()
    return Heads(*(NONE if seq is None else seq for seq in found))


class Sifted(NamedTuple):
    """Some rows of one queue."""

    free: Sequence[Row]  # nothing holds them back
    held: Sequence[tuple[int, int]]  # of those held back the kind to be, and the seq
    looked_at: int  # rows


def sift(connection: sqlite3.Connection, rows: Sequence[Row], shapes: Mapping[int, Shape], limit: int) -> Sifted:
    """Look at rows of one queue in their order until ``limit`` are free."""
    lanes = _heads_of(connection, rows) if rows else {}
    free: list[Row] = []
    back: list[tuple[int, int]] = []
    looked_at = 0
    for row in rows:
        if len(free) == limit:
            break
        looked_at += 1
        if not _holds_back(row, lanes, back, create=creates(row, shapes)):
            free.append(row)
    return Sifted(free, back, looked_at)


def _heads_of(connection: sqlite3.Connection, rows: Sequence[Row]) -> dict[str, Heads]:
    """The heads of all lanes that these rows lie in. Few are held: one query finds out which, a seek for each."""
    keys = list({row[_LANE] or row[_INSTANCE] for row in rows})
    number = rows[0][_SEQ] >> QUEUE_BITS
    held = connection.execute(QUERIES["lanes_held"], (number, orjson.dumps(keys))).fetchall()
    return dict.fromkeys(keys, FREE) | {key: heads(connection, (number, key)) for (key,) in held}


def _holds_back(row: Row, lanes: dict[str, Heads], back: list[tuple[int, int]], *, create: bool) -> bool:
    seq, lane_key = row[_SEQ], row[_LANE] or row[_INSTANCE]
    found = lanes[lane_key]
    if found is FREE or not blocked(found, seq, create=create):
        return False
    back.append((behind(create=create), seq))
    lanes[lane_key] = found.holding_back(seq, create=create)
    return True
