"""Requests as spans: which messages they are about is read from the outbox, and so known after a restart, too."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from bridge.dispatch.batching import operation
from bridge.dispatch.outcome import Failure
from bridge.dispatch.sending import Done, Sender
from bridge.tracing.context import traced
from bridge.tracing.spans import Kind, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bridge.cloudflare.client import Client
    from bridge.dispatch.batching import Request
    from bridge.dispatch.sending import Result
    from bridge.message import Message
    from bridge.metrics import Metrics
    from bridge.outbox.base import Entry
    from bridge.tracing.context import Traced
    from bridge.tracing.spans import Value
    from bridge.tracing.tracer import Tracer


END_TO_END, REQUEST = "end_to_end_duration_seconds", "request_duration_seconds"  # histograms with exemplars
# A message of the request under way; each request is a task, or a part of one, of its own.
_PLACE: ContextVar[Traced | None] = ContextVar("place", default=None)


class Trail(NamedTuple):
    """What it takes to tell of requests."""

    tracer: Tracer
    originals: Callable[[Sequence[Entry]], Iterable[Message]]  # the messages of these that are still known
    now_ms: Callable[[], int]  # Unix epoch


class TracedSender(Sender):
    """A sender that tells of each request with a traced message in it."""

    def __init__(self, client: Client, metrics: Metrics, seconds: Callable[[], float], trail: Trail) -> None:
        super().__init__(client, metrics, seconds)
        self._trail = trail

    async def send(self, request: Request) -> Sequence[tuple[Entry, Result]]:
        """See Sender."""
        tracer, originals, now_ms = self._trail
        places = {
            (message.source, message.id): place
            for message in originals(request.entries)
            if (place := traced(message, tracer.ratio))
        }
        if not places:
            return await super().send(request)
        began_ms, unset = now_ms(), _PLACE.set(next(iter(places.values())))
        try:
            results = await super().send(request)
        finally:
            _PLACE.reset(unset)
        ended_ms = now_ms()
        tracer.ended(request_span(request, list(dict.fromkeys(places.values())), results, (began_ms, ended_ms)))
        for entry, result in results:
            place = places.get((entry.source, entry.message_id))
            if place is not None and isinstance(result, Done):
                self._show(END_TO_END, (ended_ms - entry.timestamp_ms) / 1000, place, operation(request))
        return results

    def _took(self, operation_: str, outcome: str, seconds: float) -> None:
        super()._took(operation_, outcome, seconds)
        place = _PLACE.get()
        if place is not None:
            self._show(REQUEST, seconds, place, operation_, outcome)

    def _show(self, histogram: str, value: float, place: Traced, *labels: str) -> None:
        """From a number on the dashboard to a trace: the message's, where the bridge's own span is known."""
        trace = {"trace_id": place.trace_id, "span_id": place.span_id}
        self._metrics.exemplify(histogram, value, trace, self._trail.now_ms() / 1000, *labels)


def request_span(
    request: Request, places: Sequence[Traced], results: Sequence[tuple[Entry, Result]], times_ms: tuple[int, int]
) -> Span:
    """Of one message: a child of the bridge's span of it. Of several: a trace of its own, with a link to each."""
    entry = request.entries[0]
    attributes: dict[str, Value] = {
        "messaging.system": "cloudflare_workflows",
        "messaging.operation.name": entry.operation,
        "messaging.operation.type": "send",
        "messaging.destination.name": entry.workflow,
        "messaging.batch.message_count": len(request.entries),
        "workflow_bridge.target": request.target,
        "workflow_bridge.request": request.kind.value,
        "workflow_bridge.attempt": entry.attempts + 1,
    }
    if len(request.entries) == 1:
        attributes["workflow_bridge.instance_id"] = request.instance_id
    error = next((result.reason for _, result in results if isinstance(result, Failure)), "")
    span = Span(f"{entry.operation} {entry.workflow}", Kind.CLIENT, *times_ms, attributes, error=error)
    if len(places) > 1 or len(request.entries) > 1:
        return span._replace(links=places)
    [place] = places
    return span._replace(trace_id=place.trace_id, parent_id=place.span_id)
