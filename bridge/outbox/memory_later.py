"""What is not ready in the memory outbox; the same rules as ``later``, over sorted lists instead of an index."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from bridge.outbox.base import AWAY_MS, PUT_OFF_MS
from bridge.outbox.lanes import (
    BEHIND_OTHER,
    FREE,
    NONE,
    PARK,
    READY,
    RELEASED_AT_ONCE,
    RETRY,
    Heads,
    behind,
    blocked,
    bound,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bridge.outbox.base import Queue

    Lane = tuple[Queue, str]
    Instance = tuple[Queue, str]  # of a workflow, by its id

_NO_KIND = 0
_LONGEST_GARBAGE = 1_000  # due times of rows that are gone, before they are swept out


class Place(NamedTuple):
    """Where an entry belongs."""

    seq: int
    lane: Lane
    instance: Instance  # that it is about
    create: bool


class _Row:
    """One entry that is not ready, or that ``due`` gave and that is not settled."""

    __slots__ = ("due_ms", "given", "kind", "place", "resting_kind")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.due_ms: int | None = None
        self.given = False
        self.kind = _NO_KIND
        self.resting_kind = _NO_KIND  # what its last verdict made of it: RETRY, PARK or nothing


class MemoryLater:
    """Holding back, giving and freeing."""

    def __init__(self) -> None:
        self.parked: set[int] = set()  # seqs of rows whose last verdict was PARK
        self.given = 0  # rows that ``due`` gave: they count as ready
        self._rows: dict[int, _Row] = {}
        self._due: list[tuple[int, int]] = []  # a heap of due time and seq; those that no row confirms are garbage
        self._lanes: defaultdict[Lane, dict[int, list[int]]] = defaultdict(dict)  # kind -> seqs, sorted
        self._waiting: defaultdict[Instance, set[int]] = defaultdict(set)  # seqs of the kind PARK

    def __contains__(self, seq: int) -> bool:
        return seq in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    # --- rows --------------------------------------------------------------------------------------------------------

    def put(self, place: Place, *, kind: int, due_ms: int) -> None:
        """The entry waits until then; ``kind`` is RETRY, PARK or 0."""
        row = self._rows.get(place.seq)
        if row is None:
            row = self._rows[place.seq] = _Row(place)
        self.given -= row.given
        row.given = False
        row.resting_kind = kind
        (self.parked.add if kind == PARK else self.parked.discard)(place.seq)
        self._mark(row, kind, due_ms)

    def hold_back(self, place: Place) -> None:
        """The entry waits for one before it in its lane."""
        row = self._rows.setdefault(place.seq, _Row(place))
        self._mark(row, behind(create=place.create), None)

    def remove(self, seq: int) -> Lane | None:
        """The entry is gone; gives the lane that may be free now."""
        row = self._rows.pop(seq, None)
        if row is None:
            return None
        self.given -= row.given
        self.parked.discard(seq)
        self._mark(row, _NO_KIND, None)
        return row.place.lane

    def _mark(self, row: _Row, kind: int, due_ms: int | None) -> None:
        if kind != row.kind:
            self._unlist(row)
            if kind != _NO_KIND:
                insort(self._lanes[row.place.lane].setdefault(kind, []), row.place.seq)
            if kind == PARK:
                self._waiting[row.place.instance].add(row.place.seq)
            row.kind = kind
        row.due_ms = due_ms
        if due_ms is not None:
            heappush(self._due, (due_ms, row.place.seq))
            self._sweep()

    def _unlist(self, row: _Row) -> None:
        if row.kind == _NO_KIND:
            return
        kinds = self._lanes[row.place.lane]
        seqs = kinds[row.kind]
        del seqs[bisect_left(seqs, row.place.seq)]
        if not seqs:
            del kinds[row.kind]
        if not kinds:
            del self._lanes[row.place.lane]
        if row.kind == PARK:
            self._no_longer_waiting(row.place)

    def _no_longer_waiting(self, place: Place) -> None:
        self._waiting[place.instance].discard(place.seq)
        if not self._waiting[place.instance]:
            del self._waiting[place.instance]

    def _sweep(self) -> None:
        if len(self._due) > 2 * len(self._rows) + _LONGEST_GARBAGE:
            self._due = sorted((row.due_ms, seq) for seq, row in self._rows.items() if row.due_ms is not None)

    def holds(self, seq: int) -> bool:
        """Whether whoever settled the entry waits for it, and for no other before it: to be given when it is due."""
        row = self._rows.get(seq)
        return row is not None and row.resting_kind != _NO_KIND and not row.given and not self.blocks(row.place)

    # --- lanes -------------------------------------------------------------------------------------------------------

    def heads(self, lane: Lane) -> Heads:
        """The lowest seq of each kind in a lane."""
        kinds = self._lanes.get(lane)
        if kinds is None:
            return FREE
        return Heads(*(kinds[kind][0] if kind in kinds else NONE for kind in range(RETRY, BEHIND_OTHER + 1)))

    def blocks(self, place: Place) -> bool:
        """Whether the entry has to wait for one before it."""
        return bool(self._lanes) and blocked(self.heads(place.lane), place.seq, create=place.create)

    def release(self, lanes: Iterable[Lane], now_ms: int) -> bool:
        """Make due what nothing holds back any more in these lanes, a few of each; whether there was any."""
        return any([self._release(lane, now_ms) for lane in lanes])  # noqa: C419  every lane has its turn

    def _release(self, lane: Lane, now_ms: int) -> bool:
        freed = 0
        while freed < RELEASED_AT_ONCE:
            seq = self._first_free(lane)
            if seq is None:
                break
            self._mark(self._rows[seq], READY, now_ms)
            freed += 1
        return freed > 0

    def _first_free(self, lane: Lane) -> int | None:
        heads = self.heads(lane)
        free = [
            first
            for create, first in ((False, heads.behind_other), (True, heads.behind_create))
            if first < bound(heads, create=create)
        ]
        return min(free, default=None)

    def unpark(self, instances: Iterable[Instance], now_ms: int) -> dict[int, int]:
        """What is parked for these is due; gives the seqs, and by how many milliseconds each is early."""
        parked = [
            row
            for instance in instances
            for seq in sorted(self._waiting.get(instance, ()))
            if not (row := self._rows[seq]).given and row.due_ms != AWAY_MS
        ]
        early = {row.place.seq: max(0, (row.due_ms or 0) - now_ms) for row in parked}
        for row in parked:
            self._mark(row, PARK, now_ms)
        return early

    def recall(self, due_ms: int, now_ms: int, wanted: Callable[[int], bool]) -> bool:
        """What is due at that very time is due now, where it is wanted by its seq; whether there was any."""
        found = [seq for seq, row in self._rows.items() if row.due_ms == due_ms and wanted(seq)]
        for seq in found:
            self._mark(self._rows[seq], self._rows[seq].kind, now_ms)
        return bool(found)

    def away(self, limit: int, wanted: Callable[[int], bool]) -> list[Place]:
        """The first ones that are due at AWAY_MS and are wanted by their seqs; ``give`` each of them."""
        found = sorted(seq for seq, row in self._rows.items() if row.due_ms == AWAY_MS and wanted(seq))
        return [self._rows[seq].place for seq in found[:limit]]

    def was_parked(self, seq: int) -> bool:
        """Whether the last verdict of an entry that was given was PARK."""
        return self._rows[seq].resting_kind == PARK

    def clock_set(self, by_ms: int) -> None:
        """See Outbox."""
        for row in self._rows.values():
            span = by_ms < 0 if row.kind == READY else row.resting_kind != _NO_KIND
            if span and row.due_ms is not None and row.due_ms < PUT_OFF_MS:
                self._mark(row, row.kind, row.due_ms + by_ms)

    # --- time --------------------------------------------------------------------------------------------------------

    def next_due_ms(self) -> int | None:
        """The earliest due time."""
        while self._due and not self._confirmed(*self._due[0]):
            heappop(self._due)
        return self._due[0][0] if self._due else None

    def _confirmed(self, due_ms: int, seq: int) -> bool:
        row = self._rows.get(seq)
        return row is not None and row.due_ms == due_ms

    def pop_due(self, now_ms: int, limit: int) -> list[Place]:
        """Up to ``limit`` of those whose time has come; ``give`` each of them."""
        places: dict[int, Place] = {}
        while len(places) < limit:
            due_ms = self.next_due_ms()
            if due_ms is None or due_ms > now_ms:
                break
            _, seq = heappop(self._due)
            places[seq] = self._rows[seq].place
        return [places[seq] for seq in sorted(places)]

    def give(self, place: Place, unread_before: Callable[[Place], bool]) -> bool:
        """True: the entry is given. False: it waits behind another, or is no row any more: back in its queue."""
        row = self._rows[place.seq]
        if self.blocks(place):
            self._mark(row, behind(create=place.create), None)
            return False
        if unread_before(place):
            self.remove(place.seq)
            return False
        row.given = True
        self.given += 1
        self.parked.discard(place.seq)
        self._mark(row, row.resting_kind, None)
        return True
