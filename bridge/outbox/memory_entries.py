"""The entries of the memory outbox: which are ready, which are later, which are gone; no receipts' fate, no waiting."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict, deque
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from bridge.call import Operation, Policy
from bridge.outbox.base import (
    PUT_OFF_MS,
    Attempt,
    DeadLetter,
    Depth,
    Entry,
    Fetched,
    Queue,
    Settlement,
    Verdict,
    rule_of,
)
from bridge.outbox.history import with_attempt
from bridge.outbox.identity import identity
from bridge.outbox.lanes import PARK, RETRY
from bridge.outbox.memory_later import MemoryLater, Place
from bridge.outbox.memory_weight import Weight

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from bridge.call import Call
    from bridge.message import Message
    from bridge.outbox.base import Intake
    from bridge.outbox.receipts import Open

    Kinds = Collection[tuple[str, str]]  # workflows and operations

_CREATE = Operation.CREATE.value
_GARBAGE = 64  # seqs of a queue that may be gone before they are swept out, beyond as many as are there


class Held(NamedTuple):
    """One call on its way, and the batch that waits for it."""

    entry: Entry
    message: Message
    call: Call
    batches: list[Open]  # more than one where the message came again meanwhile
    identity: str  # "" where the message is not recognised when it comes again
    history: tuple[Attempt, ...] = ()


class _Line:
    """The entries of one queue that are ready, in order of arrival."""

    __slots__ = ("live", "read", "seqs")

    def __init__(self) -> None:
        self.seqs: list[int] = []  # sorted; some may be gone
        self.live: set[int] = set()
        self.read = 0  # the last seq that ``pending`` gave

    def add(self, seq: int) -> None:
        self.live.add(seq)
        if not self.seqs or self.seqs[-1] < seq:
            self.seqs.append(seq)
        else:
            insort(self.seqs, seq)

    def discard(self, seq: int) -> None:
        self.live.discard(seq)
        if len(self.seqs) > 2 * len(self.live) + _GARBAGE:
            self.seqs = sorted(self.live)

    def after(self, seq: int) -> Iterable[int]:
        seqs, live = self.seqs, self.live
        return (seqs[i] for i in range(bisect_right(seqs, seq), len(seqs)) if seqs[i] in live)

    def unread_before(self, place: Place) -> bool:
        """Whether there are entries before this one that ``pending`` has not given yet."""
        return next(iter(self.after(self.read)), place.seq) < place.seq


class MemoryEntries:
    """All entries that are held, by seq and by queue."""

    def __init__(self) -> None:
        self.later = MemoryLater()
        self.weight = Weight()
        self._held: dict[int, Held] = {}  # in order of arrival
        self._lines: dict[Queue, _Line] = {}
        self._known: defaultdict[tuple[str, str], list[int]] = defaultdict(list)  # source, identity -> seqs
        self._ghosts: deque[Entry] = deque()  # gone; ``due`` gives them once more
        self._next_seq = count(1).__next__

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, seq: int) -> bool:
        return seq in self._held

    def __getitem__(self, seq: int) -> Held:
        return self._held[seq]

    def all(self) -> Sequence[Held]:
        """Everything, in order of arrival."""
        return list(self._held.values())

    def take(self, intake: Intake, batch: Open, now_ms: int) -> None:
        """Hold the calls of a batch; one whose message is held already waits for that one's calls instead."""
        for message, call in intake.calls:
            name = _name(message, intake)
            if message.redelivered and self._repeats(message, name):
                self._join(message.source, name, batch)
            else:
                self._hold(message, call, batch, intake.received_ms, now_ms, name)

    def fresh(self, intake: Intake) -> int:
        """How many calls ``take`` would add."""
        again = [message for message, _ in intake.calls if message.redelivered]
        return len(intake.calls) - sum([self._repeats(message, _name(message, intake)) for message in again])

    def _repeats(self, message: Message, name: str) -> bool:
        seqs = self._known.get((message.source, name))
        return seqs is not None and self._held[seqs[0]].message is not message

    def _join(self, source: str, name: str, batch: Open) -> None:
        for seq in self._known[source, name]:
            batches = self._held[seq].batches
            if batches[-1] is not batch:  # the message became several calls
                batches.append(batch)
                batch.add()

    def _hold(self, message: Message, call: Call, batch: Open, arrived_ms: int, now_ms: int, name: str) -> None:
        """Take in one call: ready, or later when its time has not come."""
        operation, target, workflow, instance_id, event_type, body, policy, lane, priority, not_before_ms = call
        timestamp_ms = arrived_ms if message.timestamp_ms is None else message.timestamp_ms
        entry = Entry(
            self._next_seq(), operation.value, target, workflow, instance_id, event_type, body, policy, lane, priority,
            not_before_ms, message.source, message.id, timestamp_ms, arrived_ms, 0, 0,
        )  # fmt: skip
        self._held[entry.seq] = Held(entry, message, call, [batch], name)
        self.weight.add(message, call)
        batch.add()
        if name:
            self._known[message.source, name].append(entry.seq)
        if not_before_ms > now_ms:
            self.later.put(_place(entry), kind=0, due_ms=not_before_ms)
        else:
            self._line(entry.queue).add(entry.seq)

    def _line(self, queue: Queue) -> _Line:
        return self._lines.setdefault(queue, _Line())

    def queues(self) -> Sequence[Queue]:
        """Those with entries ready."""
        return [queue for queue, line in self._lines.items() if line.live]

    def pending(self, queue: Queue, after: int, limit: int) -> list[Entry]:
        """Entries that nothing holds back; those that something does move behind it.

        None while ghosts of the queue are to be given: who waits for one must not take a later entry of its lane first.
        """
        if any(ghost.queue == queue for ghost in self._ghosts):
            return []
        line = self._line(queue)
        line.read = max(line.read, after)
        given: list[Entry] = []
        held_back: list[Place] = []
        for seq in line.after(after):
            if len(given) == limit:
                break
            line.read = max(line.read, seq)
            place = _place(self._held[seq].entry)
            if self.later.blocks(place):
                self.later.hold_back(place)
                held_back.append(place)
            else:
                given.append(self._held[seq].entry)
        for place in held_back:
            line.discard(place.seq)
        return given

    def due(self, now_ms: int, limit: int) -> tuple[list[Entry], bool]:
        """Entries whose time has come, and whether ``pending`` may have more than before."""
        given = [self._ghosts.popleft() for _ in range(min(limit, len(self._ghosts)))]
        returned = bool(given)
        while not given and (places := self.later.pop_due(now_ms, limit)):
            given, back = self._give(places, now_ms)
            returned = returned or back
        return given, returned

    def fetch(self, queue: Queue, limit: int, without: Kinds, now_ms: int) -> tuple[Fetched, bool]:
        """See Outbox; also whether ``pending`` may have more than before. Nothing passes a ghost of its queue."""
        if any(ghost.queue == queue for ghost in self._ghosts):
            return Fetched((), more=True), False

        def wanted(seq: int) -> bool:
            entry = self._held[seq].entry
            return entry.queue == queue and (entry.workflow, entry.operation) not in without

        places = self.later.away(limit, wanted)
        given, returned = self._give(places, now_ms)
        return Fetched(given, len(places) == limit), returned

    def _give(self, places: Iterable[Place], now_ms: int) -> tuple[list[Entry], bool]:
        """Of these those that nothing holds back; and whether others are back in their queues."""
        given: list[Entry] = []
        returned = False
        for place in places:
            line = self._line(place.lane[0])
            if self.later.give(place, line.unread_before):
                given.append(self._held[place.seq].entry._replace(parked=self.later.was_parked(place.seq)))
            elif place.seq not in self.later:
                line.add(place.seq)
                self.later.release([place.lane], now_ms)
                returned = True
        return given, returned

    def put_off(self, settlement: Settlement, now_ms: int) -> bool:
        """RETRY or PARK; whether that made others of the lane due."""
        held = self._held[settlement.entry.seq]
        entry = held.entry._replace(
            attempts=held.entry.attempts + settlement.attempted,
            waited_ms=held.entry.waited_ms + settlement.waited_ms,
        )
        self._held[entry.seq] = held._replace(entry=entry, history=with_attempt(held.history, settlement))
        self._line(entry.queue).discard(entry.seq)
        place = _place(entry)
        self.later.put(place, kind=RETRY if settlement.verdict is Verdict.RETRY else PARK, due_ms=settlement.at_ms)
        return self.later.release([place.lane], now_ms)

    def unpark(self, instances: Iterable[tuple[Queue, str]], now_ms: int) -> bool:
        """What is parked for these (workflow, id) is due, and has not waited for the rest; whether there was any."""
        left_ms = self.later.unpark(instances, now_ms)
        for seq, spared_ms in left_ms.items():
            held = self._held[seq]
            waited_ms = max(0, held.entry.waited_ms - spared_ms)
            self._held[seq] = held._replace(entry=held.entry._replace(waited_ms=waited_ms))
        return bool(left_ms)

    def recall(self, rules: Collection[str], now_ms: int) -> bool:
        """What was put off is due, but not of these rules; whether there was any."""
        return self.later.recall(PUT_OFF_MS, now_ms, lambda seq: rule_of(self._held[seq].entry) not in rules)

    def dead_letter(self, settlement: Settlement) -> DeadLetter:
        """What a call becomes by this verdict."""
        held = self._held[settlement.entry.seq]
        entry, message, call, *_ = held
        policy, attempts = Policy.decode(entry.policy), entry.attempts + settlement.attempted
        why = settlement.reason, settlement.detail
        return DeadLetter(message, *why, policy.rule, call, attempts, settlement.settled_ms, policy.config,
                          with_attempt(held.history, settlement))  # fmt: skip

    def remove(self, seq: int, now_ms: int) -> tuple[Held, bool] | None:
        """Take one out; gives it, and whether that made others of its lane due. None: it was not there."""
        held = self._held.pop(seq, None)
        if held is None:
            return None
        self._line(held.entry.queue).discard(seq)
        self._unname(held)
        self.weight.remove(held.message, held.call)
        lane = self.later.remove(seq)
        return held, lane is not None and self.later.release([lane], now_ms)

    def _unname(self, held: Held) -> None:
        if held.identity:
            key = held.entry.source, held.identity
            self._known[key].remove(held.entry.seq)
            if not self._known[key]:
                del self._known[key]

    def haunt(self, seq: int) -> None:
        """Before it is removed: whoever waits for this entry is given it once more, to learn that it is gone."""
        self._ghosts.append(self._held[seq].entry)

    def next_due_ms(self) -> int | None:
        """When ``due`` will have something."""
        return 0 if self._ghosts else self.later.next_due_ms()

    def depth(self) -> Depth:
        """No dead letters are kept."""
        waiting = len(self.later) - self.later.given
        oldest = next(iter(self._held.values()), None)
        parked = [self._held[seq].entry.arrived_ms for seq in self.later.parked]
        oldest_ms = 0 if oldest is None else oldest.entry.arrived_ms
        return Depth(len(self._held) - waiting, waiting, 0, oldest_ms, len(parked), min(parked, default=0))


def _name(message: Message, intake: Intake) -> str:
    return identity(message) if message.has_identity and not intake.positions else ""


def _place(entry: Entry) -> Place:
    return Place(entry.seq, (entry.queue, entry.lane_key), (entry.scope, entry.instance_id), entry.operation == _CREATE)
