"""What a request is: of which kind, about which calls."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from bridge.call import Operation
from bridge.outbox.base import Queue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.outbox.base import Entry

# WAPI, "createBatch": at most 100 instances, at most 1 MiB a call. The brackets of the array are two bytes of it.
BATCH_INSTANCES = 100
BATCH_BYTES = (1 << 20) - 2


class Kind(StrEnum):
    """What a request is; each is one HTTP request. The rows of the outcome table."""

    CREATES = "creates"  # one create, or a batch of them
    EVENT = "event"
    STATUS = "status"
    # What may follow, about one entry whose fate the request before did not settle:
    LOOK_UP = "look_up"  # a create: is there such an instance, and did this very call make it?
    ALONE = "alone"  # a create that the look-up found no instance of: the answer to a single one is plain
    RESTART = "restart"  # a create: its instance exists, and the rule says to restart it
    SIGNAL = "signal"  # a create or an event: an event to an instance that exists by now
    RENEW = "renew"  # a create: its id is used, it goes under another one
    LOOK_UP_NEW = "look_up_new"  # the same as LOOK_UP, of that other id
    START = "start"  # events: their instances do not exist, and are created, one or a batch


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One sort of requests of a target, as a name for pauses and for what is under way."""

    target: str
    operation: str  # create, event, status, get


# What the API is asked for; the token may be allowed one and not the other, and one may fail while the others work.
OPERATIONS = {
    Kind.CREATES: "create",
    Kind.EVENT: "event",
    Kind.STATUS: "status",
    Kind.LOOK_UP: "get",
    Kind.ALONE: "create",
    Kind.RESTART: "status",
    Kind.SIGNAL: "event",
    Kind.RENEW: "create",
    Kind.LOOK_UP_NEW: "get",
    Kind.START: "create",
}


class Request(NamedTuple):
    """One request that is about to be sent."""

    kind: Kind
    queue: Queue  # where its entries lie
    entries: Sequence[Entry]  # of one workflow; exactly one unless ``kind`` is CREATES or START
    probes: tuple[str | Queue | Endpoint, ...] = ()  # pauses that it tries out
    other_id: str = ""  # the instance that it is about, where that is not its entry's ``instance_id``

    @property
    def target(self) -> str:
        """The account and token that pay for it."""
        return self.queue.target

    @property
    def scope(self) -> Queue:
        """The workflow that it goes to, as a name for pauses."""
        return Queue(self.queue.target, self.entries[0].workflow)

    @property
    def endpoint(self) -> Endpoint:
        """What it asks for."""
        return Endpoint(self.queue.target, OPERATIONS[self.kind])

    @property
    def instance_id(self) -> str:
        """The instance that it is about; the first of them."""
        return self.other_id or self.entries[0].instance_id

    @property
    def creations(self) -> int:
        """How much of the API's creation rate it may use up (restarts count: LIM note 8)."""
        return len(self.entries) if self.kind in CREATING else restarts(self.entries[0])


BATCHES = frozenset({Kind.CREATES, Kind.START})
CREATING = frozenset({Kind.CREATES, Kind.ALONE, Kind.RESTART, Kind.RENEW, Kind.START})


def restarts(entry: Entry) -> int:
    """How many instances this call restarts: that counts as creating them."""
    return int(entry.operation == Operation.STATUS and b'"restart"' in entry.body)


def operation(request: Request) -> Operation:
    """The metric label of a request."""
    return Operation(request.entries[0].operation)
