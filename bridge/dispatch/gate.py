"""Whether a request may go now, and if not, when to ask again: pauses, concurrency, budget and creation rates."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bridge.cloudflare.responses import Meaning
from bridge.dispatch.concurrency import Concurrency
from bridge.dispatch.outcome import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bridge.dispatch.allowance import Allowance
    from bridge.dispatch.batching import Request
    from bridge.dispatch.budget import EvenLine
    from bridge.dispatch.holding import Holding
    from bridge.dispatch.sending import Result, Sender
    from bridge.outbox.base import Entry, Queue

BUDGET, BLOCK, CREATIONS = "budget", "block", "creations"  # why a request waits; labels of a metric


class Line(NamedTuple):
    """How one target is called."""

    sender: Sender
    concurrency: int  # requests in flight at most
    allowance: Allowance | None = None  # None: nobody limits it


class Gate:
    """Asked about requests until one may go; ``new_round`` forgets what was refused so far."""

    def __init__(self, lines: Mapping[str, Line], holding: Holding, now_ms: Callable[[], int]) -> None:
        self.lines = lines
        self.in_flight: Counter[str] = Counter()  # requests, by target
        self._holding = holding
        self._flows: dict[str, Concurrency] = {}  # by target
        self._now_ms = now_ms
        self._refused: dict[tuple[str, str], float] = {}  # (target, why) -> the shortest wait of this round

    def new_round(self) -> None:
        """Something may have changed: everything will be asked anew."""
        self._refused.clear()

    @property
    def refused(self) -> Mapping[tuple[str, str], float]:
        """Targets at which something waits only for this reason, and for how many seconds at least; inf: for news."""
        return self._refused

    def reachable(self, workflow: Queue) -> bool:
        """Whether nothing is wrong there, and there is a connection for it."""
        target = workflow.target
        if target not in self.lines or self.in_flight[target] >= self._flow(target).limit:
            return False
        return self._holding.allows(workflow, self._now_ms())

    def _flow(self, target: str) -> Concurrency:
        flow, most = self._flows.get(target), self.lines[target].concurrency
        if flow is None or flow.most != most:
            flow = self._flows[target] = Concurrency(most)
        return flow

    def even_line(self, target: str) -> EvenLine | None:
        """What may be used of that target's requests, spread evenly; None: they have no limit."""
        line = self.lines.get(target)
        return None if line is None or line.allowance is None else line.allowance.even_line()

    def request_seconds(self, target: str, more: int = 0) -> float:
        """How long until the budget has room for a request, after ``more`` others; 0: now."""
        allowance = self.lines[target].allowance
        return 0.0 if allowance is None else allowance.request_seconds(more)

    def creation_seconds(self, workflow: Queue, count: int) -> float:
        """How long until so many instances may be created, or restarted; 0: now."""
        allowance = self.lines[workflow.target].allowance
        return 0.0 if allowance is None or not count else allowance.creation_seconds(workflow.workflow, count)

    def largest(self, workflow: Queue, count: int) -> int:
        """How many of so many instances one request may create."""
        allowance = self.lines[workflow.target].allowance
        return count if allowance is None else min(count, allowance.largest(workflow.workflow))

    def refuse(self, target: str, why: str, seconds: float) -> None:
        """Note that something waits."""
        allowance = self.lines[target].allowance
        if why == BUDGET and allowance is not None and allowance.is_blocked:
            why = BLOCK
        self._refused[target, why] = min(self._refused.get((target, why), math.inf), seconds)

    def may_go(self, workflow: Queue, creations: int = 0) -> bool:
        """Whether a request there may go now; notes what it waits for."""
        if not self.reachable(workflow):
            return False
        for why, seconds in (
            (CREATIONS, self.creation_seconds(workflow, creations)),
            (BUDGET, self.request_seconds(workflow.target)),
        ):
            if seconds > 0:
                self.refuse(workflow.target, why, seconds)
                return False
        return True

    async def send(self, request: Request) -> Sequence[tuple[Entry, Result]]:
        """Send it, and learn from how it went."""
        flow, line = self._flow(request.target), self.lines[request.target]
        number = flow.begin()
        with self._creating(request, line.allowance):
            results = await line.sender.send(request)
        flow.ended(number, troubled=any(isinstance(r, Failure) and r.meaning is Meaning.UNKNOWN for _, r in results))
        return results

    @contextmanager
    def _creating(self, request: Request, allowance: Allowance | None) -> Iterator[None]:
        """While it is under way its instances count."""
        creation = None if allowance is None else allowance.creating(request.scope.workflow, request.creations)
        try:
            yield
        finally:
            if allowance is not None and creation is not None:
                allowance.created(creation)

    def too_many_creations(self, request: Request, retry_after_seconds: float | None) -> bool:
        """It was refused with 429. Returns whether that was about instances, not about requests."""
        allowance = self.lines[request.target].allowance
        if not request.creations or allowance is None or not allowance.counts or allowance.is_blocked:
            return False
        allowance.too_many_creations(request.scope.workflow, retry_after_seconds)
        return True

    def next_seconds(self) -> float:
        """When something that waits may go, as far as time alone decides it; inf otherwise."""
        return min(self._refused.values(), default=math.inf)
