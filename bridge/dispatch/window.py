"""The entries of one queue that dispatch has in its hands, and which of them may be sent now; calls nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from typing import TYPE_CHECKING

from bridge.call import HIGH, LOW, Operation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.outbox.base import Entry

PRIORITIES = range(HIGH, LOW + 1)
ITEM_OVERHEAD_BYTES = 1  # the comma between two elements of a batch


class Lane:
    """The calls of one order key, in order of arrival.

    offered: the entry that stands in the window's heads, or is in flight: nothing else of the lane is sent before it
    is settled. held: the seq of an entry that waits in the outbox for its retry, nothing may pass it; parked: of an
    event that waits there for its instance, only creates may pass it. 0: none; it is freed when that entry is back.
    """

    __slots__ = ("held", "offered", "parked", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Entry] = deque()
        self.offered: Entry | None = None
        self.held = 0
        self.parked = 0

    @property
    def empty(self) -> bool:
        """Nothing of this lane is here. What waits in the outbox is guarded there."""
        return not self.waiting and self.offered is None

    def insert(self, entry: Entry) -> None:
        """Put an entry at its place by order of arrival; it is most often the last."""
        if not self.waiting or self.waiting[-1].seq < entry.seq:
            self.waiting.append(entry)
        else:
            self.waiting.insert(bisect_left([other.seq for other in self.waiting], entry.seq), entry)

    def offer(self) -> Entry | None:
        """The entry that may be sent next, if there is one; it is offered from now on."""
        if self.offered is not None or self.held or not self.waiting:
            return None
        if not self.parked:
            self.offered = self.waiting.popleft()
            return self.offered
        create = next((entry for entry in self.waiting if entry.operation == Operation.CREATE), None)
        if create is not None:
            self.waiting.remove(create)
            self.offered = create
        return create


class Heads:
    """The entries that may be sent now, in the order in which they became so, by priority."""

    __slots__ = ("_queues",)

    def __init__(self) -> None:
        self._queues: tuple[deque[Entry], ...] = tuple(deque() for _ in PRIORITIES)

    def __bool__(self) -> bool:
        return any(self._queues)

    def push(self, entry: Entry) -> None:
        """The entry may be sent."""
        self._queues[entry.priority].append(entry)

    def put_back(self, entry: Entry) -> None:
        """An entry that was popped and could not be sent is first again."""
        self._queues[entry.priority].appendleft(entry)

    def __len__(self) -> int:
        return sum(map(len, self._queues))

    def first(self) -> list[Entry]:
        """The entry of each priority that has waited longest."""
        return [queue[0] for queue in self._queues if queue]

    def pop(self, count: int, size_bytes: int, priority: int = HIGH) -> list[Entry]:
        """At most ``count`` entries whose bodies fit into ``size_bytes`` together; at least one if there is one.

        Those of ``priority`` first, then higher ones; lower ones fill what is left of a batch.
        """
        taken: list[Entry] = []
        room = size_bytes
        for queue in (self._queues[priority], *self._queues):
            while queue and len(taken) < count:
                room -= len(queue[0].body) + ITEM_OVERHEAD_BYTES
                if room < 0 and taken:
                    return taken
                taken.append(queue.popleft())
        return taken


class Window:
    """A bounded part of one queue. The caller loads entries, takes some to send, and says how each of them ended.

    An entry is loaded once; it leaves by ``settled``, ``retried`` or ``parked``. Every method costs the same however
    much is loaded, except for the rare entry that comes back into the middle of a lane.
    """

    def __init__(self) -> None:
        self.creates: defaultdict[str, Heads] = defaultdict(Heads)  # by workflow; sent together, up to a batch
        self.singles: defaultdict[str, Heads] = defaultdict(Heads)  # by workflow; events, status changes: one a request
        self.size = 0  # entries loaded and not yet settled
        self._lanes: dict[str, Lane] = {}

    def load(self, entries: Iterable[Entry]) -> None:
        """Take entries in, each lane's in order of arrival. One that held its lane from the outbox frees it."""
        lanes = self._lanes
        for entry in entries:
            lane = lanes.get(entry.lane or entry.instance_id)
            if lane is None:
                lane = lanes[entry.lane or entry.instance_id] = Lane()
            lane.insert(entry)
            if lane.held == entry.seq:
                lane.held = 0
            elif lane.parked == entry.seq:
                lane.parked = 0
            self.size += 1
            self._offer(lane)

    def _offer(self, lane: Lane) -> None:
        entry = lane.offer()
        if entry is not None:
            heads = self.creates if entry.operation == Operation.CREATE else self.singles
            heads[entry.workflow].push(entry)

    def settled(self, entries: Iterable[Entry]) -> None:
        """These are delivered or dead: their lanes go on."""
        for entry in entries:
            lane = self._release(entry)
            self._offer(lane)
            self._forget(entry, lane)

    def retried(self, entries: Iterable[Entry]) -> None:
        """These wait in the outbox; their lanes are held until they are loaded again."""
        for entry in entries:
            lane = self._release(entry)
            lane.held = entry.seq
            self._forget(entry, lane)

    def parked(self, entries: Iterable[Entry]) -> None:
        """These wait in the outbox for their instance; only creates of their lanes go on."""
        for entry in entries:
            lane = self._release(entry)
            lane.parked = entry.seq
            self._offer(lane)
            self._forget(entry, lane)

    def put_back(self, entries: Iterable[Entry]) -> None:
        """These were taken and not sent, or not done, and are to be sent again as soon as may be."""
        for entry in reversed(list(entries)):
            heads = self.creates if entry.operation == Operation.CREATE else self.singles
            heads[entry.workflow].put_back(entry)

    def held_back(self) -> tuple[list[Entry], list[Entry]]:
        """Entries that wait here, not offered, behind one that waits in the outbox: behind retries, behind parked."""
        held = [entry for lane in self._lanes.values() if lane.held for entry in lane.waiting]
        parked = [
            entry
            for lane in self._lanes.values()
            if lane.parked and not lane.held
            for entry in lane.waiting
            if entry.operation != Operation.CREATE
        ]
        return held, parked

    def behind(self, entry: Entry) -> list[Entry]:
        """What waits here, not offered, in the lane of an entry that is held in the outbox."""
        lane = self._lanes.get(entry.lane_key)
        return [] if lane is None else list(lane.waiting)

    def unload(self, entries: Iterable[Entry]) -> None:
        """These were not offered, and are in the outbox's care again."""
        for entry in entries:
            lane = self._lanes[entry.lane_key]
            lane.waiting.remove(entry)
            self.size -= 1
            self._forget(entry, lane)

    def _release(self, entry: Entry) -> Lane:
        lane = self._lanes[entry.lane or entry.instance_id]
        lane.offered = None
        self.size -= 1
        return lane

    def _forget(self, entry: Entry, lane: Lane) -> None:
        if lane.empty:
            del self._lanes[entry.lane or entry.instance_id]
