"""What the writer of the SQLite outbox keeps in memory: queues, counters and counts, as of its transaction.

It is read from the file at the start and after every rolled back transaction, and never guessed.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from bridge.outbox.base import Depth, Queue
from bridge.outbox.sql import QUERIES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping

    from bridge.outbox.rows import Shape
    from bridge.outbox.shapes import Shapes

    ShapeKey = tuple[str, str, str, str, str, int, str, bool]

QUEUE_BITS = 44  # of a seq, for the counter within its queue; the number of the queue lies above
_STEP = 2  # the lowest bit of a seq tells where its original lies


class Snapshot(NamedTuple):
    """The outbox after one transaction, as the event loop may know it."""

    numbers: Mapping[Queue, int]
    shapes: Mapping[int, Shape]
    active: tuple[Queue, ...]  # with entries ready
    held: frozenset[int]  # numbers of the queues in which some lane is held
    next_due_ms: int | None
    ready: int
    later: int
    dead: int
    parked: int
    oldest_parked_ms: int  # arrival of the oldest parked entry; 0 when there is none
    blocked: int  # lanes that a dead letter holds
    bytes_used: int  # but for the ledger; 0 unless it is asked for
    renewed: frozenset[Queue]  # workflows of which some instance has a newer one under another id
    gained: bool  # entries became ready by this transaction
    oldest_ms: int  # arrival of the oldest entry; 0 when there is none
    dead_bytes: int  # of the dead letters

    def depth(self) -> Depth:
        """How much is waiting. What blocks a lane is dead already."""
        later = self.later - self.blocked
        return Depth(
            self.ready,
            later,
            self.dead,
            self.oldest_ms,
            self.parked,
            self.oldest_parked_ms,
            self.blocked,
            self.dead_bytes,
        )


EMPTY = Snapshot(
    {}, {}, (), frozenset(), None, 0, 0, 0, 0, 0, 0, 0, frozenset(), gained=False, oldest_ms=0, dead_bytes=0
)


class _QueueState:
    """One queue: where its counter stands, how many entries it has ready, and since when the first of them."""

    __slots__ = ("last_seq", "name", "oldest_ms", "ready")

    def __init__(self, name: Queue, last_seq: int, ready: int) -> None:
        self.name = name
        self.last_seq = last_seq
        self.ready = ready
        self.oldest_ms = 0  # as of the last snapshot; 0: none is ready


class _Shaping(dict["ShapeKey", "tuple[int, Callable[[], int]]"]):
    """What a call is like -> the number of its shape and what gives the next seq of its queue; makes what is new."""

    def __init__(self, create: Callable[[ShapeKey], tuple[int, Callable[[], int]]]) -> None:
        super().__init__()
        self._create = create

    def __missing__(self, key: ShapeKey) -> tuple[int, Callable[[], int]]:
        self[key] = found = self._create(key)
        return found


class State:
    """See the module's text. Used by the writer's thread alone."""

    def __init__(self, connection: sqlite3.Connection, shapes: Shapes) -> None:
        self._connection = connection
        self.shaping = _Shaping(self._new_shape)
        self._shapes = shapes
        self._steps: dict[Queue, Callable[[], int]] = {}
        self.numbers: dict[Queue, int] = {}
        self._held: set[int] = set()
        self.given = 0  # rows of `later` that `due` gave: they count as ready
        self.gained = False
        self._queues: dict[int, _QueueState] = {}
        self._touched: set[int] = set()
        self._first_changed: set[int] = set()  # queues whose first entry may be another one than at the last snapshot
        self._lanes_changed: set[int] = set()
        self._active: tuple[Queue, ...] | None = None
        self._load()

    def _load(self) -> None:
        self._shapes.load()
        for number, target, workflow, last_seq, ready in self._connection.execute(QUERIES["queues"]).fetchall():
            self._adopt(number, Queue(target, workflow), last_seq, ready)
            self._lanes_changed.add(number)
        self._stored_meta: dict[str, int] = dict(self._connection.execute(QUERIES["meta"]).fetchall())
        self._meta = self._stored_meta.copy()
        self.renewed = frozenset(Queue(*name) for name in self._connection.execute(QUERIES["renewed"]).fetchall())
        last = self._connection.execute(QUERIES["last_original"]).fetchone()[0]
        self.next_original = count(last + 1).__next__
        (self.given,) = self._connection.execute("SELECT count(*) FROM later WHERE given = 1").fetchone()

    def _adopt(self, number: int, name: Queue, last_seq: int, ready: int) -> None:
        self._queues[number] = _QueueState(name, last_seq, ready)
        self._first_changed.add(number)
        self.numbers[name] = number
        self._steps[name] = count((last_seq | 1) + 1, _STEP).__next__

    def _new_shape(self, key: ShapeKey) -> tuple[int, Callable[[], int]]:
        operation, target, workflow, event_type, policy, priority, source, default_lane = key
        # sqlite3 binds a plain str several times faster than a subclass of it, such as a StrEnum's member
        shape = (str(operation), target, workflow, event_type, policy, priority, source)
        return self._shapes.number_of(shape), self._step(Queue(target, workflow if default_lane else ""))

    @property
    def shapes(self) -> Mapping[int, Shape]:
        """By their numbers."""
        return self._shapes.known

    def _step(self, name: Queue) -> Callable[[], int]:
        if name not in self._steps:
            number = len(self._queues) + 1
            self._connection.execute(QUERIES["insert_queue"], (number, *name, number << QUEUE_BITS))
            self._adopt(number, name, number << QUEUE_BITS, 0)
        return self._steps[name]

    def added(self, seqs: list[int]) -> None:
        """These rows were put into ``entries``, in order of arrival; ``numbered`` was told, too."""
        for number, many in Counter(seq >> QUEUE_BITS for seq in seqs).items():
            self.ready_changed(number, many)
        self.gained = self.gained or bool(seqs)

    def numbered(self, seqs: Iterable[int]) -> None:
        """These seqs were given away, rising within each queue."""
        for number, last in {seq >> QUEUE_BITS: seq for seq in seqs}.items():
            self._queues[number].last_seq = last
            self._touched.add(number)

    def ready_changed(self, number: int, by: int) -> None:
        """So many more, or fewer, entries of a queue lie in ``entries``."""
        queue = self._queues[number]
        before, queue.ready = queue.ready, queue.ready + by
        self._touched.add(number)
        self._first_changed.add(number)
        if (before > 0) != (queue.ready > 0):
            self._active = None

    def lanes_changed(self, number: int) -> None:
        """What this queue's lanes hold may be different now."""
        self._lanes_changed.add(number)

    def later_changed(self, by: int) -> None:
        """So many more, or fewer, rows lie in ``later``."""
        self._meta["later"] += by

    def reopened(self) -> None:
        """Nothing is given any more."""
        self.given = 0
        self._meta["parked"] = self._one("parked") or 0

    def parked_changed(self, by: int) -> None:
        """So many more, or fewer, entries are parked and not given."""
        self._meta["parked"] += by

    def blocked_changed(self, by: int) -> None:
        """So many more, or fewer, lanes are blocked by dead letters."""
        self._meta["blocked"] += by

    def died(self, many: int, size: int) -> None:
        """So many more, or fewer, dead letters of so many bytes are kept."""
        self._meta["dead"] += many
        self._meta["dead_bytes"] += size

    def ledger_grew(self, size: int) -> None:
        """The ledger has so many more, or fewer, bytes."""
        self._meta["ledger_bytes"] += size

    @property
    def ledger_bytes(self) -> int:
        """Of the ledger's chunks."""
        return self._meta["ledger_bytes"]

    def revived(self, number: int) -> None:
        """A dead entry that holds its lane in this queue is due again."""
        self.lanes_changed(number)
        self.gained = True

    def renew(self, workflows: Iterable[Queue]) -> None:
        """Of these workflows some instance has a newer one."""
        self.renewed |= frozenset(workflows)

    @property
    def rows_later(self) -> int:
        """Rows of ``later``, given ones included."""
        return self._meta["later"]

    def flush(self) -> None:
        """Write what changed; the last thing in a transaction."""
        if self._shapes.prune():
            self.shaping.clear()
        if self._touched:
            changes = [(self._queues[n].last_seq, self._queues[n].ready, n) for n in self._touched]
            self._connection.executemany(QUERIES["update_queue"], changes)
            self._touched.clear()
        if self._meta != self._stored_meta:
            self._connection.executemany(QUERIES["update_meta"], [(value, name) for name, value in self._meta.items()])
            self._stored_meta = self._meta.copy()

    def holds(self, number: int) -> bool:
        """Whether some lane of the queue is held, as of this point in the transaction."""
        if number in self._lanes_changed:
            self._lanes_changed.discard(number)
            held = self._connection.execute(QUERIES["held"], (number,)).fetchone()
            (self._held.add if held else self._held.discard)(number)
        return number in self._held

    def snapshot(self, *, count_bytes: bool) -> Snapshot:
        """The state to show, once per transaction."""
        if self._active is None:
            self._active = tuple(queue.name for queue in self._queues.values() if queue.ready > 0)
        gained, self.gained = self.gained, False
        return Snapshot(
            numbers=self.numbers,
            shapes=self.shapes,
            active=self._active,
            held=frozenset(number for number in self._queues if self.holds(number)),
            next_due_ms=self._next_due() if self.rows_later else None,
            ready=sum(queue.ready for queue in self._queues.values()) + self.given,
            later=self.rows_later - self.given,
            dead=self._meta["dead"],
            parked=self._meta["parked"],
            oldest_parked_ms=self._one("oldest_parked") or 0 if self._meta["parked"] else 0,
            blocked=self._meta["blocked"],
            bytes_used=self._bytes_used() if count_bytes else 0,
            renewed=self.renewed,
            gained=gained,
            oldest_ms=self._oldest_ms(),
            dead_bytes=self._meta["dead_bytes"],
        )

    def _oldest_ms(self) -> int:
        """One seek for each queue that changed, and one in ``later``."""
        for number in self._first_changed:
            queue = self._queues[number]
            bounds = number << QUEUE_BITS, (number + 1) << QUEUE_BITS
            queue.oldest_ms = self._one("oldest_ready", bounds) or 0 if queue.ready else 0
        self._first_changed.clear()
        firsts = [queue.oldest_ms for queue in self._queues.values() if queue.ready]
        if self.rows_later:
            firsts.append(self._one("oldest_later") or 0)
        return min(firsts, default=0)

    def _next_due(self) -> int | None:
        return self._one("next_due")

    def _one(self, query: str, values: tuple[int, ...] = ()) -> int | None:
        row: tuple[int, ...] | None = self._connection.execute(QUERIES[query], values).fetchone()
        return None if row is None else row[0]

    def _bytes_used(self) -> int:
        size, pages, free = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
        used: int = size * (pages - free)
        return max(used - self.ledger_bytes, 0)
