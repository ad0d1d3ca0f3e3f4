"""Spans to an OpenTelemetry collector, in the background; the only module that imports OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from bridge import __version__
from bridge.tracing.spans import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.context import Context

    from bridge.tracing.settings import TracingSettings
    from bridge.tracing.spans import Span

QUEUED_SPANS: Final = 20_000  # that wait for the collector; beyond it the newest are lost, and OpenTelemetry logs it
_KINDS = {Kind.CONSUMER: SpanKind.CONSUMER, Kind.CLIENT: SpanKind.CLIENT}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class _Ids(RandomIdGenerator):
    """Ids of the next span, where they are known; random ones else."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = 0

    def generate_trace_id(self) -> int:
        """Asked for only where a span has no parent."""
        return self.trace_id or super().generate_trace_id()

    def generate_span_id(self) -> int:
        """Asked for once for each span."""
        return self.span_id or super().generate_span_id()


class Exporter:
    """Sends spans from a thread of its own; ``export`` never waits and never fails."""

    def __init__(self, settings: TracingSettings) -> None:
        self._ids = _Ids()
        resource = Resource.create({"service.name": settings.service_name, "service.version": __version__})
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=settings.url)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUED_SPANS))
        self._tracer = self._provider.get_tracer("workflow-bridge", __version__)

    def export(self, spans: Iterable[Span]) -> None:
        """Queue these; from one thread only."""
        for span in spans:
            self._export(span)

    def _export(self, span: Span) -> None:
        self._ids.trace_id = int(span.trace_id or "0", 16)
        self._ids.span_id = int(span.span_id or "0", 16)
        made = self._tracer.start_span(
            span.name,
            context=_within(span),
            kind=_KINDS[span.kind],
            attributes=span.attributes,
            links=[Link(_context(link.trace_id, link.span_id)) for link in span.links],
            start_time=span.began_ms * 1_000_000,
        )
        if span.error:
            made.set_attribute("error.type", span.error)
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(span.ended_ms * 1_000_000)

    def close(self) -> None:
        """Send what is queued, for as long as OpenTelemetry's time-outs allow; blocks."""
        self._provider.shutdown()


def _within(span: Span) -> Context:
    if not span.parent_id:
        return set_span_in_context(NonRecordingSpan(SpanContext(0, 0, is_remote=True)))
    return set_span_in_context(NonRecordingSpan(_context(span.trace_id, span.parent_id)))


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=_SAMPLED)
