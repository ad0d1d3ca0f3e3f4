"""SECOND HALF: outbox -> window -> next request -> Workflows API -> outcome -> outbox."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge.call import IfExists, Policy
from bridge.dispatch import choosing, generations, outcome, reporting, verdicts
from bridge.dispatch.arrivals import Arrivals
from bridge.dispatch.batching import Kind, Request
from bridge.dispatch.following import FollowUps
from bridge.dispatch.gate import Gate
from bridge.dispatch.halting import Halting
from bridge.dispatch.holding import Holding
from bridge.dispatch.loading import Loader
from bridge.dispatch.outcome import FOLLOWING, HOLDS, Failure, Sight, Step
from bridge.dispatch.probing import Crowd, Probing
from bridge.dispatch.sending import Done
from bridge.dispatch.turns import Turns
from bridge.dispatch.verdicts import Moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.dispatch.gate import Line
    from bridge.dispatch.halting import Halts
    from bridge.dispatch.pauses import Held, Scope
    from bridge.dispatch.sending import Result
    from bridge.dispatch.timeline import Clock
    from bridge.metrics import Metrics
    from bridge.outbox.base import Entry, Outbox, Settlement

log = structlog.get_logger(__name__)

PATIENT_EVERY = 20  # requests: what can wait takes this share of the quota where there is more to do, and never less
LONGEST_WAIT_SECONDS = 60.0  # without news; everything that matters wakes the loop


class Ending(NamedTuple):
    """What becomes of the entries of a request."""

    settlements: list[Settlement]
    back: list[Entry]  # to the window, to be sent again as they are
    following: list[Entry]  # of another request


class Dispatcher:
    """Sends what the outbox holds, until it is stopped."""

    def __init__(self, outbox: Outbox, lines: Mapping[str, Line], metrics: Metrics, clock: Clock) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._clock = clock
        self._loader = Loader(outbox, clock.now_ms)
        self._arrivals = Arrivals(outbox)
        self._holding = Holding()
        self._halting = Halting(self._loader, lambda: self._holding.halts, clock.now_ms)
        self._gate = Gate(lines, self._holding, clock.steady_ms)
        self._turns = Turns()
        self._probing = Probing()
        self._left_out: set[int] = set()  # seqs of creates that one batch answer did not name
        # What can wait: doubts about creates, most likely done; and starts of instances, so that they travel together.
        self._patient = FollowUps()
        self._following = FollowUps()
        self._follows = False  # whether the last request was one of those that follow: they take turns with the others
        self._since_patient = 0  # requests
        self._wake = asyncio.Event()
        metrics.watch.pauses(self._holding.labels)
        self._stopping: bool | None = None  # None: going. True: end when nothing is ready. False: end at once

    async def run(self) -> None:
        """Send until ``stop``; returns when the last request has been answered and its outcome is stored."""
        for target in {queue.target for queue in self._outbox.queues()} - self._gate.lines.keys():
            log.warning("target_missing", target=target)  # its calls wait until the configuration has it again
        async with asyncio.TaskGroup() as requests:
            listener = requests.create_task(self._listen())
            while not self._finished():
                self._wake.clear()
                await self._halting.recall()
                await self._loader.follow(self._clock)
                await self._loader.refill(self._holding.stops)
                self._gate.new_round()
                while (request := self._next()) is not None:
                    requests.create_task(self._carry_out(request))
                    await asyncio.sleep(0)  # it is on its way now, and counted, before the next one is chosen
                await self._woken()
            listener.cancel()

    def use(self, lines: Mapping[str, Line]) -> None:
        """Call targets by these from now on. Those that were there before must be among them, the same or others."""
        self._gate.lines = lines
        self._wake.set()

    def halt(self, halts: Halts) -> None:
        """An operator has paused these, and nothing else; requests in flight end as they may."""
        self._holding.halts = halts
        self._halting.changed()
        self._wake.set()

    def stop(self, *, drain: bool = False) -> None:
        """Start no more requests; with ``drain``, not before everything that is ready now has been sent."""
        self._stopping = drain
        self._wake.set()

    @property
    def paused(self) -> Mapping[Scope, str]:
        """Targets, workflows and operations that are not called now, and why."""
        return self._holding.reasons()

    @property
    def held(self) -> Mapping[Scope, Held]:
        """The same, with the API's words and how long it has lasted."""
        return self._holding.held(self._clock.steady_ms())

    @property
    def in_flight(self) -> int:
        """Requests that are not answered yet."""
        return self._gate.in_flight.total()

    @property
    def work(self) -> tuple[int, bool]:
        """See Gate.work."""
        return self._gate.work(self._outbox.depth().ready, self._loader.windows)

    def _finished(self) -> bool:
        if self._stopping is None:
            return False
        return not self._stopping or not (self._outbox.depth().ready or self._gate.in_flight.total())

    async def _listen(self) -> None:
        while True:
            await self._outbox.wait_for_work()
            self._loader.work_arrived()
            self._wake.set()

    async def _woken(self) -> None:
        steady, now_ms = asyncio.get_running_loop().time, self._clock.steady_ms()
        began = steady()
        paused = self._holding.next_ms(now_ms)
        times = [] if paused is None else [(paused - now_ms) / 1000]
        seconds = min([LONGEST_WAIT_SECONDS, self._gate.next_seconds(), self._loader.next_seconds(), *times])
        self._gate.listen(self._wake.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._wake.wait()
        self._metrics.throttled(self._gate.refused, steady() - began)

    def _next(self) -> Request | None:
        if self._stopping is False:
            return None
        request = self._next_patient() if self._since_patient >= PATIENT_EVERY else None
        request = request or self._next_of_two() or self._next_patient()
        if request is None:
            return None
        self._gate.count(request, 1)
        self._since_patient += 1
        return self._holding.probed_by(request)

    def _next_of_two(self) -> Request | None:
        """What follows other requests, and what is new: each gets every other request where both want one."""
        following = None if self._follows else self._following.take(self._gate.may_go)
        self._follows = following is not None
        if following is None:
            following = choosing.choose(self._loader.windows, self._gate, self._turns)
        if following is None:
            following = self._following.take(self._gate.may_go)
        return following

    def _next_patient(self) -> Request | None:
        request = self._patient.take(self._gate.may_go)
        if request is not None:
            self._since_patient = 0
        return request

    async def _carry_out(self, request: Request) -> None:
        held = self._outbox.begin(request.entries)
        try:
            if len(held) < len(request.entries):
                self._withdraw(request, held)
            if wanted := await self._halting.going(request, held):
                going = self._addressed(request._replace(entries=wanted))
                begun_ms = self._clock.now_ms()
                with self._arrivals.awaited(going):
                    await self._conclude(going, await self._gate.send(going), begun_ms)
        except asyncio.CancelledError:
            self._outbox.back(held)  # cut off: nobody waits for it any more, least of all a withdrawal
            raise
        finally:
            self._holding.ended(request)
            self._gate.count(request, -1)
            self._wake.set()

    def _addressed(self, request: Request) -> Request:
        """An event or a status change goes to the newest instance that was made of its id (``if_exists: new``)."""
        if request.kind not in {Kind.EVENT, Kind.STATUS}:
            return request
        instance_id = request.entries[0].instance_id
        newest = self._outbox.newest(request.scope, instance_id)
        return request if newest == instance_id else request._replace(other_id=newest)

    def _withdraw(self, request: Request, held: Sequence[Entry]) -> None:
        """Leave out entries whose messages another consumer will be given."""
        kept = {entry.seq for entry in held}
        gone = [entry for entry in request.entries if entry.seq not in kept]
        self._left_out.difference_update([entry.seq for entry in gone])
        self._loader.windows[request.queue].settled(gone)

    async def _conclude(self, request: Request, results: Sequence[tuple[Entry, Result]], begun_ms: int) -> None:
        """Act on what became of each entry: store verdicts, follow up, pause, or put back what has no verdict yet."""
        moment = self._moment(request, begun_ms)
        ending = Ending([], [], [])
        for entry, result in results:
            if isinstance(result, Done):
                ending.settlements.append(verdicts.delivered(entry, result.reason, moment))
            else:
                self._decide(request, entry, result, moment, ending)
        self._holding.heard(request, results)
        self._outbox.back([*ending.back, *ending.following])
        self._loader.windows[request.queue].put_back(ending.back)
        await self._store(request, ending.settlements, moment)

    def _decide(self, request: Request, entry: Entry, result: Failure | Sight, moment: Moment, ending: Ending) -> None:
        """One entry whose call is not simply done: the outcome table says what happens."""
        failure = result if isinstance(result, Failure) else verdicts.SEEN
        step = self._step(request, entry, result)
        if step in FOLLOWING:
            ending.following.append(entry)
            self._follow(request, FOLLOWING[step], [entry])
        elif step is Step.HALVE:
            ending.following.append(entry)
            if entry is request.entries[-1]:
                self._halve(request)
        elif step is Step.ONCE_MORE:
            self._left_out.add(entry.seq)
            ending.back.append(entry)
        elif step in HOLDS:
            if entry is request.entries[-1]:
                self._pause(request, step, failure)
            ending.back.append(entry)
        elif step is Step.DEAD and self._holding.refused(request, failure, self._clock.steady_ms()):
            ending.back.append(entry)
        else:
            ending.settlements.append(verdicts.settle(step, entry, failure, moment))

    def _step(self, request: Request, entry: Entry, result: Failure | Sight) -> Step:
        known = result.meaning if isinstance(result, Failure) else result
        step = outcome.step(request.kind, known, Policy.decode(entry.policy))
        if step is Step.ONCE_MORE and entry.seq in self._left_out:
            return Step.LOOK_UP
        return Step.DEAD if step is Step.HALVE and len(request.entries) == 1 else step

    def _follow(self, request: Request, kind: Kind, entries: Sequence[Entry]) -> None:
        """The next request about these entries."""
        other_id = generations.other_id(entries[0]) if kind in {Kind.RENEW, Kind.LOOK_UP_NEW} else ""
        doubt = kind is Kind.LOOK_UP and Policy.decode(entries[0].policy).if_exists is IfExists.SKIP
        patient = doubt or kind is Kind.START
        (self._patient if patient else self._following).add(Request(kind, request.queue, entries, (), other_id))

    def _halve(self, request: Request) -> None:
        """One bad element fails the whole batch (WAPI): in halves until it stands alone, the others go through."""
        middle = len(request.entries) // 2
        self._follow(request, request.kind, request.entries[:middle])
        self._follow(request, request.kind, request.entries[middle:])

    async def _store(self, request: Request, settlements: Sequence[Settlement], moment: Moment) -> None:
        if self._left_out:
            self._left_out.difference_update([settlement.entry.seq for settlement in settlements])
        made = self._arrivals.made(request, settlements)
        if not settlements:
            await self._arrivals.wake(request, made)
            return
        settled = self._loader.settle(request.queue, generations.renewed(request, settlements))
        if made and self._arrivals.anybody_waits():
            await asyncio.gather(settled, self._arrivals.wake(request, made))  # one transaction, as a rule
        else:
            await settled
        await self._arrivals.wake(request, self._arrivals.missed(request, settlements))
        reporting.settled(self._metrics, request, settlements, moment.now_ms)

    def _moment(self, request: Request, begun_ms: int) -> Moment:
        return Moment(self._clock.now_ms(), begun_ms, self._clock.random, partial(self._probe_seconds, request.target))

    def _probe_seconds(self, target: str, own_seconds: float) -> float:
        """How long a call that is parked now waits, where it would wait so long if it were alone."""
        crowd = Crowd(target, self._outbox.depth().parked + 1, self._gate.even_line(target))
        return self._probing.wait_seconds(own_seconds, crowd, self._clock.seconds(), self._clock.random())

    def _pause(self, request: Request, step: Step, failure: Failure) -> None:
        if step is Step.HOLD_QUOTA and self._gate.too_many_creations(request, failure.retry_after_seconds):
            self._metrics.creations_refused(request.target, request.scope.workflow)
        else:
            self._holding.pause(request, step, failure, self._clock.steady_ms())
