"""One request to the API and what became of each of its entries; decides nothing about what follows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bridge.call import IfExists, Operation, Policy, first_body, second_body
from bridge.cloudflare.responses import Meaning, meaning
from bridge.dispatch.batching import Kind
from bridge.dispatch.generations import is_own, renamed
from bridge.dispatch.outcome import Failure, Sight
from bridge.errors import ApiError, ApiRefused, ApiUnknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bridge.cloudflare.client import Client
    from bridge.dispatch.batching import Request
    from bridge.metrics import Metrics
    from bridge.outbox.base import Entry


class Done(NamedTuple):
    """The API has carried the call out."""

    reason: str


T = TypeVar("T")
Result = Done | Failure | Sight
CREATED, SENT, CHANGED = Done("created"), Done("sent"), Done("changed")
RESTARTED, SIGNALLED, RENEWED = Done("restarted"), Done("signalled"), Done("renewed")
_RESTART = b'{"status":"restart"}'


def failure_of(error: ApiError) -> Failure:
    """The facts of an error that decisions are made by."""
    kind = meaning(error)
    if isinstance(error, ApiUnknown):
        return Failure(kind, error.reason, str(error))
    if isinstance(error, ApiRefused):
        return Failure(kind, kind.value, str(error), error.retry_after_seconds, error.code)
    return Failure(kind, kind.value, str(error))


class Sender:
    """Makes the requests of one target: one HTTP request for each, or two where an answer left something out.

    ``send`` gives one result per entry and raises no ApiError.
    """

    def __init__(self, client: Client, metrics: Metrics, seconds: Callable[[], float]) -> None:
        self._client = client
        self._metrics = metrics
        self._seconds = seconds  # monotonic
        self._single = {
            Kind.EVENT: self._event,
            Kind.STATUS: self._status,
            Kind.LOOK_UP: self._look_up,
            Kind.LOOK_UP_NEW: self._look_up,
            Kind.ALONE: self._create,
            Kind.RESTART: self._restart,
            Kind.SIGNAL: self._signal,
            Kind.RENEW: self._renew,
        }
        self._sending = 0  # calls of ``send`` that have not returned
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def client(self) -> Client:
        """What the requests are made by."""
        return self._client

    async def close(self) -> None:
        """Drop the connections, once what is being sent has been answered."""
        await self._idle.wait()
        await self._client.close()

    async def send(self, request: Request) -> Sequence[tuple[Entry, Result]]:
        """Send it, and say what is known of each entry now."""
        self._sending += 1
        self._idle.clear()
        try:
            return await self._send(request)
        finally:
            self._sending -= 1
            if not self._sending:
                self._idle.set()

    async def _send(self, request: Request) -> Sequence[tuple[Entry, Result]]:
        entries = request.entries
        if request.kind is Kind.CREATES:
            if len(entries) == 1:
                return [(entries[0], await self._create(entries[0], ""))]
            # A look for the separator costs a hundredth of a percent of the request; hardly any body has it.
            bodies = [body if b"\0" not in (body := entry.body) else first_body(body) for entry in entries]
            return await self._batch(entries, bodies, CREATED)
        if request.kind is Kind.START:
            return await self._start(entries)
        return [(entries[0], await self._single[request.kind](entries[0], request.instance_id))]

    async def _start(self, entries: Sequence[Entry]) -> Sequence[tuple[Entry, Result]]:
        bodies = [second_body(entry.body) for entry in entries]
        if len(entries) > 1:
            return await self._batch(entries, bodies, Sight.DONE)
        self._metrics.batch(1)
        answer = await self._timed(Operation.CREATE, self._client.create(entries[0].workflow, bodies[0]))
        return [(entries[0], answer if isinstance(answer, Failure) else Sight.DONE)]

    async def _batch(
        self, entries: Sequence[Entry], bodies: Sequence[bytes], made: Result
    ) -> Sequence[tuple[Entry, Result]]:
        answer = await self._timed(Operation.CREATE, self._client.create_batch(entries[0].workflow, bodies))
        self._metrics.batch(len(entries), 0 if isinstance(answer, Failure) else len(answer))
        if isinstance(answer, Failure):
            return [(entry, answer) for entry in entries]
        return [(entry, made if entry.instance_id in answer else Sight.LEFT_OUT) for entry in entries]

    async def _create(self, entry: Entry, _: str) -> Result:
        self._metrics.batch(1)
        answer = await self._timed(Operation.CREATE, self._client.create(entry.workflow, first_body(entry.body)))
        return answer if isinstance(answer, Failure) else CREATED

    async def _renew(self, entry: Entry, instance_id: str) -> Result:
        self._metrics.batch(1)
        body = renamed(entry, instance_id)
        answer = await self._timed(Operation.CREATE, self._client.create(entry.workflow, body))
        return answer if isinstance(answer, Failure) else RENEWED

    async def _look_up(self, entry: Entry, instance_id: str) -> Result:
        """Whether there is this instance; and whether this very call made it, for a rule to which that matters."""
        found = await self._timed("get", self._client.get_instance(entry.workflow, instance_id, simple=True))
        whose = Policy.decode(entry.policy).if_exists is not IfExists.SKIP
        if whose and not isinstance(found, Failure) and "params" not in found.raw:
            # The API's reference leaves open whether the short form has them.
            found = await self._timed("get", self._client.get_instance(entry.workflow, instance_id))
        if isinstance(found, Failure):
            return found
        return Sight.OWN if whose and is_own(entry, found.params) else Sight.FOREIGN

    async def _event(self, entry: Entry, instance_id: str) -> Result:
        event = self._client.send_event(entry.workflow, instance_id, entry.event_type, first_body(entry.body))
        sent = await self._timed(Operation.EVENT, event)
        return sent if isinstance(sent, Failure) else SENT

    async def _signal(self, entry: Entry, instance_id: str) -> Result:
        """An event's own, or the one that a create of a used id sends instead."""
        if entry.operation == Operation.EVENT:
            return await self._event(entry, instance_id)
        event = self._client.send_event(entry.workflow, instance_id, entry.event_type, second_body(entry.body))
        sent = await self._timed(Operation.EVENT, event)
        return sent if isinstance(sent, Failure) else SIGNALLED

    async def _status(self, entry: Entry, instance_id: str) -> Result:
        changed = await self._timed(
            Operation.STATUS, self._client.change_status(entry.workflow, instance_id, entry.body)
        )
        return changed if isinstance(changed, Failure) else CHANGED

    async def _restart(self, entry: Entry, instance_id: str) -> Result:
        changed = await self._timed(Operation.STATUS, self._client.change_status(entry.workflow, instance_id, _RESTART))
        return changed if isinstance(changed, Failure) else RESTARTED

    def reread_token(self) -> None:
        """Take up the target's token, where it was rotated."""
        self._client.reread_token()

    async def _timed(self, operation: str, request: Awaitable[T]) -> T | Failure:
        started = self._seconds()
        try:
            answer: T | Failure = await request
            outcome = "ok"
        except ApiError as error:
            failure = failure_of(error)
            answer, outcome = failure, failure.reason
            if failure.meaning is Meaning.UNAUTHORIZED:
                self._client.reread_token()  # it may have been rotated: the next probe has the new one
        self._took(operation, outcome, self._seconds() - started)
        return answer

    def _took(self, operation: str, outcome: str, seconds: float) -> None:
        self._metrics.called(operation, outcome, seconds)
