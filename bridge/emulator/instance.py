"""One emulated instance: its status, the events it has been sent, and what it does with them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import orjson

from bridge.emulator.answers import Refusal, Refused, timestamp

ENDED = frozenset({"complete", "errored", "terminated"})
STATUSES = ENDED | {"queued", "running", "paused", "waiting", "waitingForPause", "rollingBack"}
FAILURE = {"name": "Error", "message": "this workflow always fails"}


@dataclass(slots=True)
class Instance:
    """State of one instance; every method takes the time, in Unix milliseconds."""

    id: str
    number: int  # place in the order of creation, from 1
    params: Any
    behaviour: str
    created_ms: int
    status: str = "queued"
    started_ms: int | None = None
    modified_ms: int = 0
    ended_ms: int | None = None
    output: Any = None
    error: dict[str, str] | None = None
    events: dict[str, deque[Any]] = field(default_factory=dict)  # by type, not yet consumed

    @property
    def awaited(self) -> str | None:
        """The event type that it waits for; None: it waits for nothing."""
        return self.behaviour.partition(":")[2].strip() or None

    @property
    def ended(self) -> bool:
        """Whether it will change no more by itself."""
        return self.status in ENDED

    @property
    def output_text(self) -> str | None:
        """What it gave, as the API writes it: JSON as text. None where it gave nothing."""
        return orjson.dumps(self.output).decode() if self.status == "complete" else None

    def run(self, now_ms: int) -> None:
        """Go as far as it can."""
        if self.started_ms is None:
            self.started_ms = now_ms
        if self.behaviour == "fails":
            self._end("errored", now_ms, error=FAILURE)
        elif self.awaited is None:
            self._end("complete", now_ms, output=self.params)
        elif arrived := self.events.get(self.awaited):
            self._end("complete", now_ms, output=arrived.popleft())
        else:
            self._become("waiting", now_ms)

    def receive(self, event_type: str, payload: object, now_ms: int) -> None:
        """Keep an event until it is waited for. One for an instance that has ended is accepted and lost.

        The documentation says that the binding refuses such an event; the engine itself accepts it, and the REST
        API's answer is not known.
        """
        if self.ended:
            return
        self.events.setdefault(event_type, deque()).append(payload)
        if self.status == "waiting":
            self.run(now_ms)

    def change(self, to: str, now_ms: int) -> None:
        """Pause, resume, terminate or restart. What does not apply to an instance that has ended changes nothing."""
        if to == "restart":
            self._restart(now_ms)
        elif to == "terminate":
            if self.ended:
                raise Refused(Refusal.ENDED)
            self._end("terminated", now_ms)
        elif to == "pause" and not self.ended:
            self._become("paused", now_ms)
        elif to == "resume" and self.status == "paused":
            self.run(now_ms)

    def _restart(self, now_ms: int) -> None:
        self.events.clear()
        self.started_ms = self.ended_ms = self.output = self.error = None
        self.run(now_ms)

    def _become(self, status: str, now_ms: int) -> None:
        self.status = status
        self.modified_ms = now_ms

    def _end(self, status: str, now_ms: int, output: object = None, error: dict[str, str] | None = None) -> None:
        self._become(status, now_ms)
        self.ended_ms = now_ms
        self.output = output
        self.error = error

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
            "params": self.params,
            "trigger": {"source": "api"},
            "queued": timestamp(self.created_ms),
            "start": timestamp(self.started_ms),
            "end": timestamp(self.ended_ms),
            "success": {"complete": True, "errored": False}.get(self.status),
            "error": self.error,
            "output": self.output_text,
            "rollback": None,
            "step_count": len(self.steps()),
        }

    def steps(self) -> list[dict[str, Any]]:
        """The one step that it has."""
        times = {"start": timestamp(self.started_ms), "end": timestamp(self.ended_ms)}
        if self.awaited is not None:
            name = f"wait for {self.awaited}-1"
            wait = {"type": "waitForEvent", "name": name, **times, "finished": self.status == "complete", "error": None}
            return [wait | {"event_type": self.awaited}]
        success = self.status == "complete"
        attempt = {**times, "success": success, "error": self.error}
        config = {"retries": {"limit": 0, "delay": 0}, "timeout": "10 minutes"}
        step = {"type": "step", "name": "run-1", **times, "success": success, "output": self.output_text}
        return [step | {"config": config, "attempts": [attempt]}]
