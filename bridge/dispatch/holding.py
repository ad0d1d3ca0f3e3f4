"""What must not be called now, by what requests have shown: keeps the pauses, and tells the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from bridge.cloudflare.responses import Meaning
from bridge.dispatch.outcome import Failure, Step, answered
from bridge.dispatch.pauses import Pauses, block_seconds
from bridge.dispatch.rejections import Rejections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.dispatch.batching import Request
    from bridge.dispatch.sending import Result
    from bridge.outbox.base import Entry, Queue

log = structlog.get_logger(__name__)


class Holding:
    """Pauses of targets and workflows: when they begin, who tries them out, and when they end."""

    def __init__(self) -> None:
        self._pauses = Pauses()
        self._rejections = Rejections()

    def allows(self, workflow: Queue, now_ms: int) -> bool:
        """Whether a request may go to this workflow now."""
        return self._pauses.allows(workflow.target, now_ms) and self._pauses.allows(workflow, now_ms)

    def probed_by(self, request: Request) -> Request:
        """The request as it goes out: it tries out the pauses of what it goes to."""
        return request._replace(probes=tuple(filter(self._pauses.started, (request.target, request.scope))))

    def pause(self, request: Request, step: Step, failure: Failure, now_ms: int) -> None:
        """Pause what this failure is about."""
        scope = request.target if step in {Step.HOLD_TARGET, Step.HOLD_QUOTA} else request.scope
        seconds = block_seconds(failure.retry_after_seconds) if step is Step.HOLD_QUOTA else None
        if self._pauses.hold(scope, failure.reason, now_ms, seconds):
            log.warning("paused", target=request.target, workflow=request.scope.workflow, reason=failure.reason,
                        detail=failure.detail)  # fmt: skip

    def refused(self, request: Request, failure: Failure, now_ms: int) -> bool:
        """A call is refused for good. True: its workflow pauses instead, as so many were refused in a row.

        A probe of that pause is refused all the same, so that a call which the API takes gets its turn.
        """
        if failure.meaning is not Meaning.REJECTED or not self._rejections.again(request.scope, failure.code):
            return False
        self.pause(request, Step.HOLD_WORKFLOW, failure, now_ms)
        return request.scope not in request.probes

    def heard(self, request: Request, results: Sequence[tuple[Entry, Result]]) -> None:
        """An answer has come; one that shows that it works ends the pauses that this request tries out."""
        if any(self._works(request, result) for _, result in results):
            for scope in request.probes:
                if self._pauses.probed(scope, works=True):
                    log.info("resumed", target=request.target, workflow=request.scope.workflow)

    def _works(self, request: Request, result: Result) -> bool:
        if isinstance(result, Failure) and not answered(result):
            return False
        if not isinstance(result, Failure) or result.meaning is not Meaning.REJECTED:
            self._rejections.ended(request.scope)
        return not self._rejections.stopped(request.scope)

    def ended(self, request: Request) -> None:
        """The request is over, and if nothing was heard it showed nothing."""
        for scope in request.probes:
            self._pauses.probed(scope, works=False)

    def next_ms(self, now_ms: int) -> int | None:
        """When the next pause is over."""
        return self._pauses.next_ms(now_ms)

    def reasons(self) -> Mapping[str | Queue, str]:
        """What is paused now, and why."""
        return self._pauses.reasons()

    def labels(self) -> list[tuple[str, str, str]]:
        """The same as target, workflow ("": all of them) and reason."""
        return self._pauses.labels()
