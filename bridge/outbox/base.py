"""The contract of the outbox, the words it is written in, and the life of an entry.

The life of an entry
====================

              add                      settle
    (nothing) ───> ready ─────────────────────────────> delivered   (gone; counted)
                   │   ^ │
       RETRY, PARK │   │ │ DEAD
       or not due  v   │ └────────────────────────────> dead        (a dead letter, with its original message)
                   later ──(due, or its lane is free)──> ready

An entry is *ready* or *later*; nothing else is stored. Who works on an entry now is memory, not a column: one
process owns the outbox, so after a crash every entry that was in flight is simply ready again.

Queues and lanes
================

Entries are kept in queues, one per target and workflow (or per target for calls with a ``lane`` of their own), each
in order of arrival: ``pending`` reads one queue without touching the others, so that a deep one starves nobody.
A lane lies in one queue: it is the unit of order. The outbox gives entries of a lane in order of arrival; that one is
sent at a time is the business of the caller.

An entry in ``later`` because of RETRY *holds* its lane: what comes after it in its lane is not given by ``pending``
or ``due`` before it is settled. PARK holds it for events and status changes, and lets creates pass: it waits for one.
A ``not_before`` of its own holds nothing. Where its queue was not read up to it yet, as after a restart, an entry that
is due goes back to its place in the queue and holds nothing any more: ``pending`` gives it, and its lane after it.
DEAD frees the lane, unless the call's policy says ``blocks_lane``: then the entry stays in ``later`` and holds its lane
until its dead letter is released or discarded.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bridge.call import Policy
from bridge.message import Positions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bridge.call import Call
    from bridge.message import Message, Position


class Queue(NamedTuple):
    """The name of one queue of entries."""

    target: str
    workflow: str  # "" for the queue of the target's custom lanes


# A lane below this is no lane: it has one call alone, and lies with those of the default lanes. See ``Call.lane``.
NO_LANE = "\x02"


# Due then is what was put off until an operator wants it back: the end of the year 9999. See ``Outbox.recall``.
PUT_OFF_MS = 253_402_300_799_000
# Due then is what the caller has no room for, until it fetches it. See ``Outbox.fetch``.
AWAY_MS = PUT_OFF_MS + 1


class Entry(NamedTuple):
    """One stored call, as dispatch sees it. Flat, in the order of the stored row, so that reading one is one tuple."""

    seq: int  # names the entry; within a queue it rises in order of arrival. Opaque otherwise
    operation: str  # an Operation
    target: str
    workflow: str
    instance_id: str
    event_type: str
    body: bytes
    policy: str  # an encoded Policy
    lane: str  # "" is the default lane: workflow + instance id
    priority: int
    not_before_ms: int
    source: str
    message_id: str
    timestamp_ms: int  # the message's own, else its arrival: where end-to-end time starts
    arrived_ms: int
    attempts: int  # calls made so far whose outcome was settled
    waited_ms: int = 0  # how long it was tried: requests, and the pauses that the caller chose to make after them
    parked: bool = False  # it comes from ``later``, where it was after PARK

    @property
    def queue(self) -> Queue:
        """The queue that this entry lies in."""
        return Queue(self.target, "" if self.lane >= NO_LANE else self.workflow)

    @property
    def scope(self) -> Queue:
        """The workflow that it is about."""
        return Queue(self.target, self.workflow)

    @property
    def lane_key(self) -> str:
        """The order key within the queue."""
        return self.lane or self.instance_id


def rule_of(entry: Entry) -> str:
    """The rule that made the call."""
    return Policy.decode(entry.policy).rule


class Attempt(NamedTuple):
    """One try of a call that did not deliver it."""

    at_ms: int  # Unix epoch, milliseconds, when it ended
    reason: str  # as of a Settlement
    code: int  # the API's; 0 where it gave none
    detail: str  # for people; shortened


class DeadLetter(NamedTuple):
    """A message, or one call of it, that will not be delivered unless somebody helps.

    reason: a bounded code, e.g. "undecodable", "render_error", "no_identity", "rejected", "expired", "rule".
    """

    message: Message  # the full original
    reason: str
    detail: str  # for people; never a secret
    rule: str = ""  # "" where no rule was involved
    call: Call | None = None  # what would have been sent, where it was rendered
    attempts: int = 0
    died_ms: int = 0  # Unix epoch, milliseconds
    config: str = ""  # digest of the configuration that was in use when the message was taken in
    history: Sequence[Attempt] = ()  # in order; of many the first and the last ones (history.py)
    redriven: int = 0  # how often it was sent again by an operator, and died again


class StoredDeadLetter(NamedTuple):
    """A dead letter with the number that names it."""

    number: int
    letter: DeadLetter


class Dropped(NamedTuple):
    """A message that a ``drop`` rule wants no call of."""

    message: Message
    reason: str  # the rule's text
    config: str  # as of a dead letter


class Intake(NamedTuple):
    """What one batch became; stored as one transaction."""

    source: str
    calls: Sequence[tuple[Message, Call]]  # in order of arrival
    dead: Sequence[DeadLetter]
    positions: Mapping[str, Position]  # "topic/partition" -> last message of the batch; empty where there are none
    received_ms: int  # Unix epoch, milliseconds
    dropped: Sequence[Dropped] = ()  # for the ledger


class Verdict(StrEnum):
    """What becomes of an entry after a call; also the metric label ``outcome``."""

    DELIVERED = "delivered"
    RETRY = "retry"  # not before ``at_ms``; holds its lane
    PARK = "park"  # not before ``at_ms``; the rest of its lane goes on
    DEAD = "dead"


class Settlement(NamedTuple):
    """One entry's verdict."""

    entry: Entry
    verdict: Verdict
    reason: str = ""  # a bounded code: "created", "exists", "sent", "timeout", "rejected" …
    detail: str = ""  # for people
    at_ms: int = 0  # RETRY, PARK: due then
    settled_ms: int = 0
    attempted: bool = True  # False: does not count as an attempt (a quota block, a pause)
    code: int = 0  # of the API's refusal; 0 where there was none
    generation: str = ""  # DELIVERED: the id of the instance that was made, where it is not the entry's own
    waited_ms: int = 0  # RETRY, PARK: by so much the entry's grows; what ``unpark`` cuts short is taken back


class Depth(NamedTuple):
    """How much is waiting."""

    ready: int
    later: int
    dead: int  # dead letters kept
    oldest_ms: int  # arrival of the oldest entry that is not dead; 0 when there is none
    parked: int = 0  # of those that are later: whose last verdict was PARK
    oldest_parked_ms: int = 0  # arrival of the oldest of them; 0 when there is none
    blocked: int = 0  # lanes in which a dead letter holds back what comes after it
    dead_bytes: int = 0  # of the dead letters kept


class Fetched(NamedTuple):
    """Entries that were away, within a lane in order of arrival; and whether there may be others."""

    entries: Sequence[Entry]
    more: bool


class Receipt(Protocol):
    """Resolves when the broker may forget the batch."""

    async def wait(self) -> None:
        """Return once it is safe. May be awaited more than once.

        Raises OutboxError if it never will be, CancelledError if the messages were withdrawn: they belong to another
        consumer then, and whoever waits ends.
        """


class Outbox(Positions, Protocol):
    """See the module's text. All methods are called from one event loop."""

    async def open(self) -> None:
        """Raises OutboxLocked, OutboxError."""

    async def add(self, intake: Intake) -> Receipt:
        """Queue one batch for storage, in the order of the calls to this method.

        Waits while the outbox has no room (this is the back-pressure); does not wait for the disk: the receipt does.
        A durable outbox leaves out the messages that are marked ``redelivered``, have an identity and no position,
        and whose id it has stored before.
        """

    def queues(self) -> Sequence[Queue]:
        """The queues that may have entries ready."""

    async def pending(self, queue: Queue, after: int, limit: int) -> Sequence[Entry]:
        """Ready entries of one queue with ``seq > after``, in order of arrival; at most ``limit``."""

    async def due(self, now_ms: int, limit: int) -> Sequence[Entry]:
        """Entries of ``later`` whose time has come, and those that a settled entry of their lane held back.

        They are ready from now on, and this method does not give them again unless they are settled to later again.
        Within a lane in order of arrival.

        What was withdrawn while it waited here after RETRY or PARK, or was settled so after it was withdrawn in
        flight, is given once more, at once: the caller's lane still waits for it, and ``begin`` says that it is gone.
        """

    def next_due_ms(self) -> int | None:
        """When ``due`` will have something; None: nothing is later."""

    def begin(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Say that these are about to be sent; gives those that still are to be, without the withdrawn ones.

        Those that it leaves out are settled: their lanes go on, and nothing gives them again.
        What was begun is in flight until it is settled or given ``back``: ``withdraw`` waits for it.
        """

    def back(self, entries: Sequence[Entry]) -> None:
        """These were begun and are not in flight any more; they have no verdict yet."""

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Apply verdicts in one transaction; returns when they are safe (on disk, or published)."""

    async def unpark(self, workflow: Queue, instance_ids: Sequence[str]) -> None:
        """What is parked for these instances of the workflow is due now, whatever its lane; what is away stays so."""

    async def recall(self, rules: Collection[str]) -> None:
        """What was settled RETRY until PUT_OFF_MS is due now, but for the calls of these rules."""

    async def fetch(self, queue: Queue, limit: int, without: Collection[tuple[str, str]]) -> Fetched:
        """Of what was settled RETRY or PARK until AWAY_MS in this queue the first ones, as ``due`` would give them.

        limit: how many are looked at. without: calls of these (workflow, operation) stay away.
        """

    async def away(self) -> Collection[Queue]:
        """Queues of which something is settled until AWAY_MS: by an earlier process, for who opens the outbox."""

    async def clock_set(self, by_ms: int) -> None:
        """The clock was set ahead by so much (or back: negative), and nothing was given by the new time yet.

        What waits for a span of time (RETRY, PARK) is due by as much later, or earlier, so that it waits as long as it
        was to; what a free lane has made due stays due. A ``not_before`` is a time of day, and stays. PUT_OFF_MS and
        AWAY_MS, too.
        """

    def newest(self, workflow: Queue, instance_id: str) -> str:
        """The id of the newest instance that was made of this id (``Settlement.generation``); itself where of none."""

    def note(self, name: str, text: str) -> None:
        """Keep a short text for the next process; written with the next transaction, none is begun for it."""

    def noted(self, name: str) -> str:
        """The newest note of this name, also of an earlier process where the outbox is durable; "" where of none."""

    async def wait_for_work(self) -> None:
        """Return when entries were added or became due since the last call; at once if they already were."""

    def depth(self) -> Depth:
        """Counted as changes are made, not by scanning."""

    async def close(self) -> None:
        """Write what is queued and let go. Never raises."""
