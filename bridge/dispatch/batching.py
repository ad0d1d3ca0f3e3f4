"""Which request is the next one: a choice among the windows' heads; sends nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from bridge.call import Operation
from bridge.outbox.base import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bridge.dispatch.window import Heads, Window
    from bridge.outbox.base import Entry

# WAPI, "createBatch": at most 100 instances, at most 1 MiB a call. The brackets of the array are two bytes of it.
BATCH_INSTANCES = 100
BATCH_BYTES = (1 << 20) - 2


class Kind(StrEnum):
    """What a request is; each costs one unit of the API's quota."""

    CREATES = "creates"  # one create, or a batch of them
    SINGLE = "single"  # one event or status change
    LOOK_UP = "look_up"  # does this instance exist? If not, create it


class Request(NamedTuple):
    """One request that is about to be sent."""

    kind: Kind
    queue: Queue  # where its entries lie
    entries: Sequence[Entry]  # of one workflow; exactly one unless ``kind`` is CREATES
    probes: tuple[str | Queue, ...] = ()  # pauses that it tries out

    @property
    def target(self) -> str:
        """The account and token that pay for it."""
        return self.queue.target

    @property
    def scope(self) -> Queue:
        """The workflow that it goes to, as a name for pauses."""
        return Queue(self.queue.target, self.entries[0].workflow)


def choose(windows: Mapping[Queue, Window], may_go: Callable[[Queue], bool]) -> Request | None:
    """Take the next request out of the windows: of the highest priority, then the one that has waited longest.

    may_go: whether a request to this workflow (target, workflow) may be sent now.
    """
    candidates = (
        (age, queue, kind, heads)
        for queue, window in windows.items()
        for kind, workflow, heads in _heads(window)
        if (age := heads.oldest()) is not None and may_go(Queue(queue.target, workflow))
    )
    best = min(candidates, key=lambda candidate: candidate[0], default=None)
    if best is None:
        return None
    _, queue, kind, heads = best
    count = BATCH_INSTANCES if kind is Kind.CREATES else 1
    return Request(kind, queue, heads.pop(count, BATCH_BYTES))


def _heads(window: Window) -> Iterator[tuple[Kind, str, Heads]]:
    for workflow, heads in window.creates.items():
        yield Kind.CREATES, workflow, heads
    for workflow, heads in window.singles.items():
        yield Kind.SINGLE, workflow, heads


def operation(request: Request) -> Operation:
    """The metric label of a request."""
    return Operation(request.entries[0].operation)
