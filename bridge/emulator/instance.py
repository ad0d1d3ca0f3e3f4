"""One emulated instance: what is known of it, and how the API shows it. What moves it is the timeline."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from bridge.emulator.answers import timestamp

if TYPE_CHECKING:
    from bridge.emulator.behaviour import Plan, Retention

ENDED = frozenset({"complete", "errored", "terminated"})
STATUSES = ENDED | {"queued", "running", "paused", "waiting", "waitingForPause", "rollingBack"}
FAILURE = {"name": "Error", "message": "this workflow always fails"}
TIMED_OUT = {"name": "WorkflowTimeoutError", "message": "no event came in time"}
MAX_OUTPUT = 2_000  # characters of an output that a get shows; the step itself has all of it
CUT = "...[truncated output]"


@dataclass(slots=True, eq=False)
class Instance:
    """State of one instance; times are Unix milliseconds. There may be a million: what is rare is None until needed."""

    id: str
    number: int  # place in the order of creation, from 1
    params_json: bytes
    plan: Plan
    created_ms: int
    retention: Retention | None = None  # None: the workflow's
    status: str = "queued"
    started_ms: int | None = None
    modified_ms: int = 0
    ended_ms: int | None = None
    stage: int = 0  # events consumed
    result: bytes | None = None  # JSON: what it ends with if it ends well
    error: dict[str, str] | None = None
    rolled_back: bool = False
    ran: bool = False  # whether the present stretch of running is over
    ticket: int = 0  # changes when what was planned for it no longer holds
    events: dict[str, deque[bytes]] | None = None  # JSON by type, not yet consumed
    arrivals: list[tuple[int, int, bytes]] | None = None  # of consumed events: waited since, came, payload
    waiting_ms: int = 0  # since when it waits, if it does

    @property
    def ended(self) -> bool:
        """Whether it will change no more by itself."""
        return self.status in ENDED

    @property
    def awaited(self) -> str | None:
        """The event type that comes next; None: no more."""
        return self.plan.waits[self.stage] if self.stage < len(self.plan.waits) else None

    @property
    def params(self) -> Any:  # noqa: ANN401  it is whatever was sent
        """What it was created with."""
        return orjson.loads(self.params_json)

    @property
    def output(self) -> Any:  # noqa: ANN401  it is whatever was sent
        """What it gave; None where it gave nothing."""
        return None if self.status != "complete" or self.result is None else orjson.loads(self.result)

    def keep(self, event_type: str, payload: bytes) -> None:
        """An event that nobody waits for yet."""
        if self.events is None:
            self.events = {}
        self.events.setdefault(event_type, deque()).append(payload)

    def take(self) -> bytes | None:
        """The oldest kept event of the type that comes next."""
        if self.events is None:
            return None
        kept = self.events.get(self.awaited or "")
        return kept.popleft() if kept else None

    def expired(self, now_ms: int) -> bool:
        """Whether its id is free again."""
        if self.ended_ms is None:
            return False
        failed, own = self.status == "errored", self.retention
        kept_ms = None if own is None else (own.error_ms if failed else own.success_ms)
        if kept_ms is None:
            kept_ms = self.plan.error_ms if failed else self.plan.success_ms
        return now_ms >= self.ended_ms + kept_ms

    def row(self) -> dict[str, Any]:
        """As the list shows it, without what is the same for the whole workflow."""
        return {
            "id": self.id,
            "status": self.status,
            "created_on": timestamp(self.created_ms),
            "modified_on": timestamp(self.modified_ms),
            "started_on": timestamp(self.started_ms),
            "ended_on": timestamp(self.ended_ms),
            "trigger_source": "api",
        }

    def details(self) -> dict[str, Any]:
        """As a get shows it, without what is the same for the whole workflow."""
        return {
            "status": self.status,
            "params": orjson.Fragment(self.params_json),
            "trigger": {"source": "api"},
            "queued": timestamp(self.created_ms),
            "start": timestamp(self.started_ms),
            "end": timestamp(self.ended_ms),
            "success": {"complete": True, "errored": False}.get(self.status),
            "error": self.error,
            "output": _text(self.result) if self.status == "complete" else None,
            "rollback": {"outcome": "complete", "error": None} if self.rolled_back else None,
            "step_count": len(self.steps()),
        }

    def steps(self) -> list[dict[str, Any]]:
        """What it has done: its waits, or its one step; and its termination."""
        if self.started_ms is None:
            return []
        steps = self._waits() if self.plan.waits else [self._run()]
        return [*steps, {"type": "termination", "trigger": {"source": "api"}}] if self.status == "terminated" else steps

    def step_output(self, name: str) -> bytes | None:
        """The whole output of a step that is complete, as JSON. Raises KeyError: there is no such step."""
        names = [step.get("name") for step in self.steps()]
        place = names.index(name) if name in names else -1
        if place < 0:
            raise KeyError(name)
        if not self.plan.waits:
            return self.result if self.status == "complete" else None
        arrivals = self.arrivals or []
        return arrivals[place][2] if place < len(arrivals) else None

    def _run(self) -> dict[str, Any]:
        done = self.status == "complete"
        success = done if self.ended_ms is not None else None
        times = {"start": timestamp(self.started_ms), "end": timestamp(self.ended_ms)}
        config = {"retries": {"limit": 0, "delay": 0}, "timeout": "10 minutes"}
        step = {"type": "step", "name": "run-1", **times, "success": success}
        attempts = [{**times, "success": success, "error": self.error}]
        return step | {"output": _text(self.result) if done else None, "config": config, "attempts": attempts}

    def _waits(self) -> list[dict[str, Any]]:
        arrivals = self.arrivals or []
        steps = [
            _wait(self, place, since, came, {"finished": True, "error": None, "output": _text(payload)})
            for place, (since, came, payload) in enumerate(arrivals)
        ]
        if self.awaited is not None and self.waiting_ms and self.error is not FAILURE:
            steps.append(
                _wait(self, len(arrivals), self.waiting_ms, self.ended_ms, {"finished": False, "error": self.error})
            )
        return steps


def _wait(instance: Instance, place: int, since: int, until: int | None, rest: dict[str, Any]) -> dict[str, Any]:
    event_type = instance.plan.waits[place]
    count = instance.plan.waits[: place + 1].count(event_type)
    name = f"wait for {event_type}-{count}"
    times = {"start": timestamp(since), "end": timestamp(until)}
    return {"type": "waitForEvent", "name": name, **times, **rest, "event_type": event_type}


def _text(output: bytes | None) -> str | None:
    """JSON as text, as the API gives it: cut where it is long."""
    if output is None:
        return None
    text = output.decode()
    return text if len(text) <= MAX_OUTPUT else text[:MAX_OUTPUT] + CUT
