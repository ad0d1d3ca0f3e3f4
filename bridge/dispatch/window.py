"""The entries of one queue that dispatch has in its hands, and which of them may be sent now; calls nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from typing import TYPE_CHECKING

from bridge.call import HIGH, LOW, Operation
from bridge.outbox.base import Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from bridge.outbox.base import Entry

    Kind = tuple[str, str]  # workflow and operation

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

    def here(self, standing: Collection[int]) -> list[Entry]:
        """All but what is in flight, in order; standing: the seqs of the window's heads."""
        offered = [self.offered] if self.offered is not None and self.offered.seq in standing else []
        return [*offered, *self.waiting]

    def take_back(self, standing: Collection[int]) -> list[tuple[Entry, Verdict]]:
        """What is here leaves; gives it in order, with how each is to wait: creates may pass what was parked."""
        passed = bool(self.parked and not self.held) or (self.offered is not None and self.offered.parked)
        back = []
        for entry in self.here(standing):
            passed = passed or entry.parked
            parks = passed and entry.operation != Operation.CREATE
            back.append((entry, Verdict.PARK if parks else Verdict.RETRY))
        self.waiting.clear()
        if self.offered is not None and self.offered.seq in standing:
            self.offered = None
        return back


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

    def __iter__(self) -> Iterator[Entry]:
        """In the order in which they go."""
        return (entry for queue in self._queues for entry in queue)

    def remove(self, seqs: Collection[int]) -> None:
        """These may not be sent any more."""
        self._queues = tuple(deque(entry for entry in queue if entry.seq not in seqs) for queue in self._queues)

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

    An entry is loaded once; it leaves by ``settled``, ``retried`` or ``parked``, or unsent by ``unload`` or
    ``take_back``. Every method costs the same however much is loaded, except for these two, and for the rare entry that
    comes back into the middle of a lane.
    """

    def __init__(self) -> None:
        self.creates: defaultdict[str, Heads] = defaultdict(Heads)  # by workflow; sent together, up to a batch
        # By workflow and operation; events and status changes: one a request.
        self.singles: defaultdict[tuple[str, str], Heads] = defaultdict(Heads)
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
            self._heads(entry).push(entry)

    def _heads(self, entry: Entry) -> Heads:
        if entry.operation == Operation.CREATE:
            return self.creates[entry.workflow]
        return self.singles[entry.workflow, entry.operation]

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
            self._heads(entry).put_back(entry)

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

    def groups(self) -> Iterator[tuple[Kind, Heads]]:
        """What may be sent, by workflow and operation."""
        yield from (((workflow, Operation.CREATE), heads) for workflow, heads in self.creates.items())
        yield from self.singles.items()

    def standing(self) -> set[int]:
        """The seqs of all heads: what is offered beside them is in flight."""
        return {entry.seq for _, heads in self.groups() for entry in heads}

    def lanes(self) -> Iterator[tuple[str, Lane]]:
        """All that something is here of, by their keys."""
        return iter(self._lanes.items())

    def weight(self, head: Entry) -> int:
        """How many entries are here because of it: itself, and what waits behind it."""
        return 1 + len(self._lanes[head.lane_key].waiting)

    def take_back(self, keys: Iterable[str]) -> list[tuple[Entry, Verdict]]:
        """What is here of these lanes and not in flight leaves; gives it, with the verdict by which it is to wait.

        The caller settles it so before anything is loaded again.
        """
        standing = self.standing()
        back: list[tuple[Entry, Verdict]] = []
        for key in keys:
            lane = self._lanes[key]
            back += lane.take_back(standing)
            if lane.empty:
                del self._lanes[key]
        self.size -= len(back)
        gone = standing & {entry.seq for entry, _ in back}
        for _, heads in self.groups():
            heads.remove(gone)
        return back

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
