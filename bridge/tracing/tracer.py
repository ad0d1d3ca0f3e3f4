"""Takes spans to their exporter; without an endpoint there is none, and nothing of OpenTelemetry is imported."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from bridge.errors import ConfigError, Problem
from bridge.tracing.spans import process_spans

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.tracing.settings import TracingSettings
    from bridge.tracing.spans import Span, Taken

CLOSE_SECONDS = 5.0  # that the last spans may take to a collector that does not answer


class Exporter(Protocol):
    """Where spans go."""

    def export(self, spans: Iterable[Span]) -> None:
        """Queue these; never waits, never fails."""

    def close(self) -> None:
        """Send what is queued; blocks."""


class Tracer:
    """One for a bridge."""

    def __init__(self, exporter: Exporter, ratio: float) -> None:
        """ratio: of the messages without a trace of their own, those that are traced."""
        self._exporter = exporter
        self.ratio = ratio

    def taken(self, taken: Taken) -> None:
        """A batch was translated."""
        self._exporter.export(process_spans(taken, self.ratio))

    def ended(self, span: Span) -> None:
        """This is over."""
        self._exporter.export((span,))

    async def close(self) -> None:
        """Send the last ones, if that does not take long."""
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def close() -> None:
            self._exporter.close()
            with suppress(RuntimeError):  # the loop has not waited
                loop.call_soon_threadsafe(closed.set)

        # A daemon: a thread of the loop's own would be waited for at the end of the process.
        threading.Thread(target=close, name="last-spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await closed.wait()


def open_tracer(settings: TracingSettings) -> Tracer | None:
    """None where no endpoint is named. Raises ConfigError where the extra is not installed."""
    if not settings.endpoint:
        return None
    try:
        exporting = import_module("bridge.tracing.exporting")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("bridge"):
            raise
        what = f"tracing needs the package {error.name}: pip install 'workflow-bridge[otel]'"
        raise ConfigError([Problem("tracing.endpoint", what)]) from error
    return Tracer(exporting.Exporter(settings), settings.ratio)
