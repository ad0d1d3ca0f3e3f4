"""SECOND HALF: outbox -> window -> next request -> Workflows API -> outcome -> outbox."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge.call import Operation, Policy
from bridge.dispatch import batching, outcome
from bridge.dispatch.batching import Kind, Request
from bridge.dispatch.loading import Loader
from bridge.dispatch.outcome import Failure, Moment, Step
from bridge.dispatch.pauses import QUOTA_BLOCK_SECONDS, Pauses
from bridge.dispatch.sending import Done, LeftOut
from bridge.outbox.base import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bridge.dispatch.sending import Result, Sender
    from bridge.metrics import Metrics
    from bridge.outbox.base import Entry, Outbox, Queue, Settlement

log = structlog.get_logger(__name__)

_FACTS = attrgetter("entry.policy", "entry.operation", "verdict", "reason")
FOUND_DONE = frozenset({"exists", "dropped"})  # delivered without a change at the API; told apart in metrics
LOOK_UP_EVERY = 20  # requests: looking instances up takes at most this share of the quota, and never stands still
LONGEST_WAIT_SECONDS = 60.0  # without news; everything that matters wakes the loop


class Line(NamedTuple):
    """How one target is called."""

    sender: Sender
    concurrency: int  # requests in flight at most


class Clock(NamedTuple):
    """Time and chance, from outside."""

    now_ms: Callable[[], int]  # Unix epoch
    random: Callable[[], float]  # uniform in [0, 1)


class Dispatcher:
    """Sends what the outbox holds, until it is stopped."""

    def __init__(self, outbox: Outbox, lines: Mapping[str, Line], metrics: Metrics, clock: Clock) -> None:
        self._outbox = outbox
        self._lines = lines
        self._metrics = metrics
        self._clock = clock
        self._started_ms = clock.now_ms()
        self._loader = Loader(outbox)
        self._pauses = Pauses()
        self._in_flight: Counter[str] = Counter()  # requests, by target
        self._left_out: set[int] = set()  # seqs of creates that one batch answer did not name
        self._look_ups: deque[Request] = deque()  # creates that two batch answers did not name
        self._since_look_up = 0  # requests
        self._wake = asyncio.Event()
        self._stopping: bool | None = None  # None: going. True: end when nothing is ready. False: end at once

    async def run(self) -> None:
        """Send until ``stop``; returns when the last request has been answered and its outcome is stored."""
        for target in {queue.target for queue in self._outbox.queues()} - self._lines.keys():
            log.warning("target_missing", target=target)  # its calls wait until the configuration has it again
        async with asyncio.TaskGroup() as requests:
            listener = requests.create_task(self._listen())
            while not self._finished():
                self._wake.clear()
                await self._loader.refill(self._clock.now_ms())
                while (request := self._next()) is not None:
                    requests.create_task(self._carry_out(request))
                await self._woken()
            listener.cancel()

    def stop(self, *, drain: bool = False) -> None:
        """Start no more requests; with ``drain``, not before everything that is ready now has been sent."""
        self._stopping = drain
        self._wake.set()

    @property
    def paused(self) -> Mapping[str | Queue, str]:
        """Targets and workflows that are not called now, and why."""
        return self._pauses.reasons()

    def _finished(self) -> bool:
        if self._stopping is None:
            return False
        return not self._stopping or not (self._outbox.depth().ready or self._in_flight.total())

    async def _listen(self) -> None:
        while True:
            await self._outbox.wait_for_work()
            self._loader.work_arrived()
            self._wake.set()

    async def _woken(self) -> None:
        now_ms = self._clock.now_ms()
        due = [at_ms for at_ms in (self._loader.next_due_ms(), self._pauses.next_ms(now_ms)) if at_ms is not None]
        seconds = min([LONGEST_WAIT_SECONDS, *((at_ms - now_ms) / 1000 for at_ms in due)])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._wake.wait()

    def _next(self) -> Request | None:
        if self._stopping is False:
            return None
        request = self._next_look_up() if self._since_look_up >= LOOK_UP_EVERY else None
        request = request or batching.choose(self._loader.windows, self._may_go) or self._next_look_up()
        if request is None:
            return None
        self._in_flight[request.target] += 1
        self._since_look_up += 1
        return request._replace(probes=tuple(filter(self._pauses.started, (request.target, request.scope))))

    def _next_look_up(self) -> Request | None:
        request = next((request for request in self._look_ups if self._may_go(request.scope)), None)
        if request is not None:
            self._look_ups.remove(request)
            self._since_look_up = 0
        return request

    def _may_go(self, workflow: Queue) -> bool:
        now_ms = self._clock.now_ms()
        line = self._lines.get(workflow.target)
        if line is None or self._in_flight[workflow.target] >= line.concurrency:
            return False
        return self._pauses.allows(workflow.target, now_ms) and self._pauses.allows(workflow, now_ms)

    async def _carry_out(self, request: Request) -> None:
        held = self._outbox.begin(request.entries)
        try:
            if len(held) < len(request.entries):
                self._withdraw(request, held)
            if held:
                going = request._replace(entries=held)
                await self._conclude(going, await self._lines[request.target].sender.send(going))
        except asyncio.CancelledError:
            self._outbox.back(held)  # cut off: nobody waits for it any more, least of all a withdrawal
            raise
        finally:
            for scope in request.probes:
                self._pauses.probed(scope, self._clock.now_ms(), works=False)
            self._in_flight[request.target] -= 1
            self._wake.set()

    def _withdraw(self, request: Request, held: Sequence[Entry]) -> None:
        """Leave out entries whose messages another consumer will be given."""
        kept = {entry.seq for entry in held}
        self._loader.windows[request.queue].settled([e for e in request.entries if e.seq not in kept])

    async def _conclude(self, request: Request, results: Sequence[tuple[Entry, Result]]) -> None:
        """Act on what became of each entry: store verdicts, pause, or put back what has none yet."""
        moment = self._moment(request)
        settlements: list[Settlement] = []
        back: list[Entry] = []
        for entry, result in results:
            if isinstance(result, Done):
                settlements.append(outcome.delivered(entry, result.reason, moment))
            elif isinstance(result, LeftOut):
                self._doubt(request, entry, back)
            elif self._pause(request, outcome.step(entry, result), result, moment):
                back.append(entry)
            else:
                settlements.append(outcome.settle(entry, result, moment))
        if any(not isinstance(result, Failure) or outcome.answered(result) for _, result in results):
            self._works(request)
        self._outbox.back(back)
        self._loader.windows[request.queue].put_back(back)
        if self._left_out:
            self._left_out.difference_update([settlement.entry.seq for settlement in settlements])
        if settlements:
            await self._loader.settle(request.queue, settlements)
            await self._after(request, settlements, moment)

    def _moment(self, request: Request) -> Moment:
        now_ms = self._clock.now_ms()
        going_ms = (self._pauses.going_since_ms(scope, now_ms) for scope in (request.target, request.scope))
        return Moment(now_ms, max(self._started_ms, *going_ms), self._clock.random)

    def _doubt(self, request: Request, entry: Entry, back: list[Entry]) -> None:
        """A create that a batch answer did not name rides once more; then its instance is looked up."""
        if entry.seq in self._left_out:
            self._left_out.discard(entry.seq)
            self._outbox.back([entry])
            self._look_ups.append(Request(Kind.LOOK_UP, request.queue, [entry]))
        else:
            self._left_out.add(entry.seq)
            back.append(entry)

    def _pause(self, request: Request, step: Step, failure: Failure, moment: Moment) -> bool:
        """Pause what this failure is about; returns whether it is about more than the call itself."""
        if step is Step.HOLD_WORKFLOW:
            started = self._pauses.hold(request.scope, failure.reason, moment.now_ms)
        elif step is Step.HOLD_TARGET:
            started = self._pauses.hold(request.target, failure.reason, moment.now_ms)
        elif step is Step.HOLD_QUOTA:
            seconds = failure.retry_after_seconds or QUOTA_BLOCK_SECONDS
            started = self._pauses.hold(request.target, failure.reason, moment.now_ms, seconds)
        else:
            return False
        if started:
            log.warning("paused", target=request.target, workflow=request.scope.workflow, reason=failure.reason,
                        detail=failure.detail)  # fmt: skip
        return True

    def _works(self, request: Request) -> None:
        for scope in request.probes:
            if self._pauses.probed(scope, self._clock.now_ms(), works=True):
                log.info("resumed", target=request.target, workflow=request.scope.workflow)

    async def _after(self, request: Request, settlements: Sequence[Settlement], moment: Moment) -> None:
        """Wake events that wait for instances that now exist; count."""
        if self._outbox.next_due_ms() is not None:  # something is parked, perhaps for one of these
            lanes = [s.entry.lane_key for s in settlements if _created(s)]
            await self._outbox.unpark(request.queue, lanes)
        self._metrics.delivered(_counts(settlements))
        done = [s.entry.timestamp_ms for s in settlements if s.verdict is Verdict.DELIVERED]
        self._metrics.end_to_end(batching.operation(request), [(moment.now_ms - at_ms) / 1000 for at_ms in done])
        dead = Counter(_rule_and_reason(s) for s in settlements if s.verdict is Verdict.DEAD)
        if dead:
            self._metrics.dead_lettered(dead)
            log.warning("calls_dead_lettered", target=request.target, workflow=request.scope.workflow,
                        count=dead.total(), detail=settlements[-1].detail)  # fmt: skip


def _created(settlement: Settlement) -> bool:
    return settlement.verdict is Verdict.DELIVERED and settlement.entry.operation == Operation.CREATE


def _rule_and_reason(settlement: Settlement) -> tuple[str, str]:
    return Policy.decode(settlement.entry.policy).rule, settlement.reason


def _counts(settlements: Sequence[Settlement]) -> Mapping[tuple[str, str, str], int]:
    """Number of settlements by rule, operation and outcome: the verdict, or "exists" for a create that was no news."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for (policy, operation, verdict, reason), number in Counter(map(_FACTS, settlements)).items():
        result = reason if reason in FOUND_DONE else verdict.value
        counts[Policy.decode(policy).rule, operation, result] += number
    return counts
