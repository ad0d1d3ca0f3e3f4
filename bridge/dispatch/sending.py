"""One request to the API and what became of each of its entries; decides nothing about retries."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bridge.call import Operation
from bridge.cloudflare.responses import Meaning, meaning
from bridge.dispatch.batching import Kind
from bridge.dispatch.outcome import Failure
from bridge.errors import ApiError, ApiRefused, ApiUnknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from bridge.cloudflare.client import Client
    from bridge.dispatch.batching import Request
    from bridge.metrics import Metrics
    from bridge.outbox.base import Entry


class Done(NamedTuple):
    """The API has carried the call out, or has no need to."""

    reason: str


class LeftOut(Enum):
    """The answer to a batch does not name this id: most likely it exists, but nobody said so."""

    LEFT_OUT = "left_out"


T = TypeVar("T")
Result = Done | Failure | LeftOut
CREATED, EXISTS, SENT, CHANGED = Done("created"), Done("exists"), Done("sent"), Done("changed")


def failure_of(error: ApiError) -> Failure:
    """The facts of an error that decisions are made by."""
    kind = meaning(error)
    if isinstance(error, ApiUnknown):
        return Failure(kind, error.reason, str(error))
    retry_after = error.retry_after_seconds if isinstance(error, ApiRefused) else None
    return Failure(kind, kind.value, str(error), retry_after)


class Sender:
    """Makes the requests of one target. Each method returns one result per entry and raises no ApiError."""

    def __init__(self, client: Client, metrics: Metrics, seconds: Callable[[], float]) -> None:
        self._client = client
        self._metrics = metrics
        self._seconds = seconds  # monotonic

    async def send(self, request: Request) -> list[tuple[Entry, Result]]:
        """Send it, in as many requests as it takes to learn the fate of each entry."""
        if request.kind is Kind.CREATES:
            return await self._creates(request.entries)
        entry = request.entries[0]
        if request.kind is Kind.LOOK_UP:
            return [(entry, await self._look_up(entry))]
        return [(entry, await self._single(entry))]

    async def _creates(self, entries: Sequence[Entry]) -> list[tuple[Entry, Result]]:
        if len(entries) == 1:
            return [(entries[0], await self._create(entries[0]))]
        self._metrics.batch(len(entries))
        workflow, bodies = entries[0].workflow, [entry.body for entry in entries]
        answer = await self._timed(Operation.CREATE, self._client.create_batch(workflow, bodies))
        if not isinstance(answer, Failure):
            return [(entry, CREATED if entry.instance_id in answer else LeftOut.LEFT_OUT) for entry in entries]
        if answer.meaning is not Meaning.REJECTED:
            return [(entry, answer) for entry in entries]
        # One bad element fails the whole batch (WAPI): halve until it stands alone, the others go through.
        middle = len(entries) // 2
        return [*await self._creates(entries[:middle]), *await self._creates(entries[middle:])]

    async def _create(self, entry: Entry) -> Result:
        self._metrics.batch(1)
        answer = await self._timed(Operation.CREATE, self._client.create(entry.workflow, entry.body))
        if not isinstance(answer, Failure):
            return CREATED
        return EXISTS if answer.meaning is Meaning.EXISTS else answer

    async def _look_up(self, entry: Entry) -> Result:
        """Ask for the instance; create it alone if it does not exist: that answer names its id."""
        found = await self._timed("get", self._client.get_instance(entry.workflow, entry.instance_id, simple=True))
        if not isinstance(found, Failure):
            return EXISTS
        return await self._create(entry) if found.meaning is Meaning.INSTANCE_MISSING else found

    async def _single(self, entry: Entry) -> Result:
        workflow, instance_id = entry.workflow, entry.instance_id
        if entry.operation == Operation.EVENT:
            event = self._client.send_event(workflow, instance_id, entry.event_type, entry.body)
            sent = await self._timed(Operation.EVENT, event)
            return sent if isinstance(sent, Failure) else SENT
        change = self._client.change_status(workflow, instance_id, entry.body)
        changed = await self._timed(Operation.STATUS, change)
        return changed if isinstance(changed, Failure) else CHANGED

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
        self._metrics.called(operation, outcome, self._seconds() - started)
        return answer
