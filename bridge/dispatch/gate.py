"""Whether a request may go now, and if not, when to ask again: pauses, concurrency, budget and creation rates."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bridge.cloudflare.responses import Meaning
from bridge.dispatch.batching import Endpoint
from bridge.dispatch.concurrency import Concurrency
from bridge.dispatch.outcome import Failure
from bridge.dispatch.usefulness import sendable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bridge.dispatch.allowance import Allowance
    from bridge.dispatch.batching import Request
    from bridge.dispatch.budget import EvenLine
    from bridge.dispatch.holding import Holding
    from bridge.dispatch.sending import Result, Sender
    from bridge.dispatch.window import Window
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
        """now_ms: of a steady clock."""
        self.lines = lines
        self.in_flight: Counter[str] = Counter()  # requests, by target
        self._asked: Counter[Endpoint] = Counter()  # the same, by what they ask for
        self._holding = holding
        self._flows: dict[Endpoint, Concurrency] = {}  # one that fails does not slow the others
        self._now_ms = now_ms
        self._refused: dict[tuple[str, str], float] = {}  # (target, why) -> the shortest wait of this round

    def work(self, ready: int, windows: Mapping[Queue, Window]) -> tuple[int, bool]:
        """Of the calls that are ready those that only this process's own speed holds back.

        And whether something else holds back others: a pause, the quota, the creation rate.
        """
        bound, now_ms = {target for target, _ in self._refused}, self._now_ms()
        loaded = {queue: window.size for queue, window in windows.items()}
        going = sendable(ready, loaded, lambda q: q.target in bound or not self._holding.allows(q, now_ms))
        return going, bool(bound or self._holding.reasons()) or self._holding.halts.stops_some

    def new_round(self) -> None:
        """Something may have changed: everything will be asked anew."""
        self._refused.clear()

    @property
    def refused(self) -> Mapping[tuple[str, str], float]:
        """Targets at which something waits only for this reason, and for how many seconds at least; inf: for news."""
        return self._refused

    def reachable(self, workflow: Queue, operation: str) -> bool:
        """Whether nothing is wrong there, and there is a connection for it."""
        target = workflow.target
        if target not in self.lines or self.in_flight[target] >= self.lines[target].concurrency:
            return False
        endpoint = Endpoint(target, operation)
        if self._asked[endpoint] >= self._flow(endpoint).limit:
            return False
        return self._holding.allows(workflow, self._now_ms(), operation)

    def _flow(self, endpoint: Endpoint) -> Concurrency:
        flow, most = self._flows.get(endpoint), self.lines[endpoint.target].concurrency
        if flow is None or flow.most != most:
            flow = self._flows[endpoint] = Concurrency(most)
        return flow

    def count(self, request: Request, by: int) -> None:
        """It goes out (1), or is over (-1)."""
        self.in_flight[request.target] += by
        self._asked[request.endpoint] += by

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

    def listen(self, news: Callable[[], None]) -> None:
        """Have this told of the answers that refused requests wait for: others ask of the same quota, too."""
        for (target, _), seconds in self._refused.items():
            line = self.lines.get(target)
            if line is not None and line.allowance is not None and seconds == math.inf:
                line.allowance.listen(news)

    def may_go(self, workflow: Queue, operation: str, creations: int = 0) -> bool:
        """Whether a request there may go now; notes what it waits for."""
        if not self.reachable(workflow, operation):
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
        flow, line = self._flow(request.endpoint), self.lines[request.target]
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
