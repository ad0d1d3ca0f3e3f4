"""What must not be called now, by what requests have shown: keeps the pauses, and tells the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from bridge.cloudflare.responses import Meaning
from bridge.dispatch.batching import Endpoint
from bridge.dispatch.halting import NONE
from bridge.dispatch.outcome import Failure, Step, answered, takes_token
from bridge.dispatch.pauses import Pauses, block_seconds
from bridge.dispatch.permits import Permits
from bridge.dispatch.rejections import Rejections
from bridge.outbox.base import Queue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.dispatch.batching import Request
    from bridge.dispatch.pauses import Held, Scope
    from bridge.dispatch.sending import Result
    from bridge.dispatch.window import Kind
    from bridge.outbox.base import Entry

log = structlog.get_logger(__name__)


class Holding:
    """Pauses of targets, workflows and operations: when they begin, who tries them out, and when they end."""

    def __init__(self) -> None:
        self._pauses = Pauses()
        self._permits = Permits()
        self._rejections = Rejections()
        self.halts = NONE  # what an operator has paused

    def allows(self, workflow: Queue, now_ms: int, operation: str = "") -> bool:
        """Whether a request may go to this workflow now; operation: what it asks for, "" where that does not matter."""
        if self.halts.stops(workflow):
            return False
        endpoint = Endpoint(workflow.target, operation)
        scopes = (workflow.target, workflow, endpoint)
        return all(self._pauses.allows(scope, now_ms, endpoint) for scope in scopes)

    def stops(self, queue: Queue, kind: Kind) -> bool:
        """Whether calls of this workflow and operation may not be sent, while others of their queue may, or might."""
        workflow, operation = kind
        scope, endpoint = Queue(queue.target, workflow), Endpoint(queue.target, operation)
        alone = scope != queue and (self._pauses.paused(scope) or scope in self.halts.workflows)
        return alone or self._pauses.paused(endpoint) or self._pauses.was_last(queue.target, endpoint)

    def probed_by(self, request: Request) -> Request:
        """The request as it goes out: it tries out the pauses of what it goes to."""
        return request._replace(
            probes=tuple(filter(self._pauses.started, (request.target, request.scope, request.endpoint)))
        )

    def pause(self, request: Request, step: Step, failure: Failure, now_ms: int) -> None:
        """Pause what this failure is about."""
        scope = self._concerned(request, step)
        seconds = block_seconds(failure.retry_after_seconds) if step is Step.HOLD_QUOTA else None
        probe = scope in request.probes
        if self._pauses.hold(scope, failure.reason, now_ms, seconds, probe=probe, detail=failure.detail):
            _, workflow, operation = names(scope)
            log.warning("paused", target=request.target, workflow=workflow, operation=operation,
                        reason=failure.reason, detail=failure.detail)  # fmt: skip
        if step is Step.HOLD_TARGET and scope == request.target:
            self._pauses.last(scope, request.endpoint)

    def _concerned(self, request: Request, step: Step) -> Scope:
        if step is Step.HOLD_TARGET:
            # Where it is paused alone already, a refusal shows no more. A token that was revoked meanwhile is found by
            # the first call that asks for anything else.
            alone = self._permits.refused(request.endpoint) or self._pauses.paused(request.endpoint)
            return request.endpoint if alone else request.target
        return request.target if step is Step.HOLD_QUOTA else request.scope

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
        works = any(self._works(request, result) for _, result in results)
        answers = works or any(not isinstance(result, Failure) or takes_token(result) for _, result in results)
        if answers:
            self._permits.taken(request.endpoint)
        for scope in request.probes:
            if (works if isinstance(scope, Queue) else answers) and self._pauses.probed(scope, works=True):
                target, workflow, operation = names(scope)
                log.info("resumed", target=target, workflow=workflow, operation=operation)

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

    def reasons(self) -> Mapping[Scope, str]:
        """What is paused now, and why."""
        return self._pauses.reasons()

    def held(self, now_ms: int) -> Mapping[Scope, Held]:
        """The same, with the API's words and how long it has lasted."""
        return self._pauses.held(now_ms)

    def labels(self) -> list[tuple[str, str, str, str]]:
        """The same as target, workflow, operation ("": all of them) and reason, and what an operator has paused."""
        own = [(*names(scope), reason) for scope, reason in self._pauses.reasons().items()]
        return [*own, *self.halts.labels()]


def names(scope: Scope) -> tuple[str, str, str]:
    """Target, workflow and operation of what is paused; "": all of them."""
    if isinstance(scope, str):
        return scope, "", ""
    return (*scope, "") if isinstance(scope, Queue) else (scope.target, "", scope.operation)
