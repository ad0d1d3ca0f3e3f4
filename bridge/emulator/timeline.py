"""What happens to instances and when: queued, running, waiting, ended. Nothing here waits; time is given."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from bridge.emulator.answers import Refusal, Refused
from bridge.emulator.instance import FAILURE, TIMED_OUT

if TYPE_CHECKING:
    from bridge.emulator.instance import Instance


class Room:
    """How many instances may run at once, in a workflow or in the account."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._running = 0

    @property
    def free(self) -> bool:
        """Whether one more may run."""
        return self.limit is None or self._running < self.limit

    def count(self, step: int) -> None:
        """One more runs (1), or one less (-1)."""
        self._running += step


class Timeline:
    """Moves the instances of one workflow. Only ``running`` takes room; who finds none stays queued, in order.

    ``move`` must be called before anything else is done at a time: it makes everything happen that was due by then.
    """

    def __init__(self, room: Room, account: Room) -> None:
        self._rooms = (room, account)
        self._limited = any(one.limit is not None for one in self._rooms)
        self._due: list[tuple[int, int, int, Instance]] = []  # when, order of entry, ticket, whom
        self._entered = 0
        self._line: deque[tuple[int, Instance]] = deque()  # ticket, who waits for room

    def move(self, now_ms: int) -> None:
        """Everything that is due, in order, each at its own time."""
        due = self._due
        while due and due[0][0] <= now_ms:
            at_ms, _, ticket, instance = heappop(due)
            if instance.ticket == ticket:
                self._next(instance, at_ms)
        if self._line:
            self._let_in(now_ms)

    def begin(self, instance: Instance, now_ms: int) -> None:
        """It is created, or created anew."""
        instance.modified_ms = now_ms
        if instance.plan.queued_ms:
            self._later(instance, now_ms + instance.plan.queued_ms)
        else:
            self._enter(instance, now_ms)

    def settle(self, instance: Instance, now_ms: int) -> None:
        """A wait that has lasted too long is over. It is found out when somebody looks, so that waiting is free."""
        until_ms = instance.waiting_ms + instance.plan.wait_ms
        if instance.status == "waiting" and now_ms >= until_ms:
            self._end(instance, "errored", until_ms, TIMED_OUT)

    def receive(self, instance: Instance, event_type: str, payload: bytes, now_ms: int) -> None:
        """An event for an instance that has not ended."""
        instance.keep(event_type, payload)
        if instance.status == "waiting" and instance.awaited == event_type:
            self._consume(instance, now_ms)

    def pause(self, instance: Instance, now_ms: int) -> None:
        """At once, or when the present stretch of running is over. One that has ended stays as it is."""
        if instance.status == "running":
            self._become(instance, "waitingForPause", now_ms)
        elif instance.status in {"queued", "waiting"}:
            self._forget_plans(instance)
            self._become(instance, "paused", now_ms)

    def resume(self, instance: Instance, now_ms: int) -> None:
        """Go on where it was paused. One that is not paused stays as it is."""
        if instance.status == "waitingForPause":
            self._become(instance, "running", now_ms)
        elif instance.status == "paused":
            self._become(instance, "queued", now_ms)
            if instance.ran:
                self._after_run(instance, now_ms)
            else:
                self._enter(instance, now_ms)

    def terminate(self, instance: Instance, now_ms: int, *, rollback: bool) -> None:
        """End it. Raises Refused when it has ended."""
        if instance.ended:
            raise Refused(Refusal.ENDED)
        self._leave(instance)
        instance.rolled_back = rollback
        if rollback and instance.plan.rollback_ms:
            self._become(instance, "rollingBack", now_ms)
            self._later(instance, now_ms + instance.plan.rollback_ms)
        else:
            self._end(instance, "terminated", now_ms)

    def restart(self, instance: Instance, now_ms: int, stage: int = 0) -> None:
        """From the beginning, or from the wait with this number; events that were kept are gone."""
        self._leave(instance)
        instance.events = None
        instance.arrivals = instance.arrivals[:stage] if instance.arrivals else None
        instance.stage = stage
        instance.started_ms = instance.ended_ms = instance.error = instance.result = None
        instance.rolled_back = instance.ran = False
        instance.waiting_ms = 0
        instance.status = "queued"
        self.begin(instance, now_ms)

    def remove(self, instance: Instance) -> None:
        """It is deleted: whatever it did, it does no more."""
        self._leave(instance)
        instance.status = "terminated"

    def _next(self, instance: Instance, at_ms: int) -> None:
        if instance.status == "queued":
            self._enter(instance, at_ms)
        elif instance.status == "rollingBack":
            self._end(instance, "terminated", at_ms)
        else:
            self._stop_running(instance, at_ms)

    def _enter(self, instance: Instance, now_ms: int) -> None:
        instance.ran = False
        if self._limited and (self._line or not self._free()):
            instance.status = "queued"
            self._line.append((instance.ticket, instance))
        else:
            self._run(instance, now_ms)

    def _run(self, instance: Instance, now_ms: int) -> None:
        if instance.started_ms is None:
            instance.started_ms = now_ms
        if instance.plan.running_ms:
            for room in self._rooms:
                room.count(1)
            self._become(instance, "running", now_ms)
            self._later(instance, now_ms + instance.plan.running_ms)
        else:
            self._after_run(instance, now_ms)

    def _stop_running(self, instance: Instance, at_ms: int) -> None:
        pausing = instance.status == "waitingForPause"
        self._leave(instance)
        if pausing:
            instance.ran = True
            self._become(instance, "paused", at_ms)
        else:
            self._after_run(instance, at_ms)
        self._let_in(at_ms)

    def _after_run(self, instance: Instance, now_ms: int) -> None:
        instance.ran = True
        if instance.plan.fails:
            self._end(instance, "errored", now_ms, FAILURE)
        elif instance.awaited is None:
            if instance.result is None:
                instance.result = instance.params_json
            self._end(instance, "complete", now_ms)
        else:
            instance.waiting_ms = now_ms
            self._become(instance, "waiting", now_ms)
            self._consume(instance, now_ms)

    def _consume(self, instance: Instance, now_ms: int) -> None:
        payload = instance.take()
        if payload is None:
            return
        instance.result = payload
        instance.arrivals = [*(instance.arrivals or ()), (instance.waiting_ms, now_ms, payload)]
        instance.stage += 1
        instance.waiting_ms = 0
        self._enter(instance, now_ms)

    def _let_in(self, now_ms: int) -> None:
        line = self._line
        while line and self._free():
            ticket, instance = line.popleft()
            if instance.ticket == ticket and instance.status == "queued":
                self._run(instance, now_ms)

    def _free(self) -> bool:
        return all(room.free for room in self._rooms)

    def _leave(self, instance: Instance) -> None:
        """It runs no more, and nothing is planned for it."""
        if instance.status in {"running", "waitingForPause"}:
            for room in self._rooms:
                room.count(-1)
        self._forget_plans(instance)

    def _end(self, instance: Instance, status: str, now_ms: int, error: dict[str, str] | None = None) -> None:
        self._forget_plans(instance)
        self._become(instance, status, now_ms)
        instance.ended_ms = now_ms
        instance.error = error
        instance.events = None

    def _later(self, instance: Instance, at_ms: int) -> None:
        self._entered += 1
        heappush(self._due, (at_ms, self._entered, instance.ticket, instance))

    @staticmethod
    def _forget_plans(instance: Instance) -> None:
        instance.ticket += 1

    @staticmethod
    def _become(instance: Instance, status: str, now_ms: int) -> None:
        instance.status = status
        instance.modified_ms = now_ms
