"""An emulator without a socket, on a clock that is moved by hand, and short ways to call it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import orjson

from bridge.emulator.application import Application
from bridge.emulator.settings import EXAMPLE_TOKEN, EmulatorSettings

if TYPE_CHECKING:
    from bridge.emulator.faults import Outcome
    from bridge.emulator.journal import Record

START_MS = 1_795_000_000_000


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


class Said(NamedTuple):
    """What came back."""

    status: int
    code: int
    result: Any
    outcome: Outcome


class Driver:
    """Speaks to an Application as its own socket does."""

    made: ClassVar[list[Driver]] = []  # each test's own; closed when it is over

    def __init__(self, clock: Clock | None = None, **settings: Any) -> None:
        self.clock = clock or Clock()
        self.settings = EmulatorSettings.model_validate(settings)
        self.application = Application(self.settings, self.clock)
        self.made.append(self)

    @property
    def records(self) -> list[Record]:
        return self.application.journal.records

    def send(self, method: str, path: str, body: Any = None, token: str = EXAMPLE_TOKEN) -> Said:
        """path: behind ``…/workflows/``; what begins with a slash is as it is."""
        base = f"/client/v4/accounts/{self.settings.account_id}/workflows/"
        target = path if path.startswith("/") else base + path
        content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        outcome = self.application.answer(method, target, f"Bearer {token}".encode(), content)
        try:
            answer = orjson.loads(outcome.reply.body)
        except orjson.JSONDecodeError:
            answer = {}
        result = answer if target.startswith("/emulator/") else answer.get("result")
        return Said(outcome.reply.status, outcome.reply.code, result, outcome)

    def make(self, name: str, workflow: str = "w", **fields: Any) -> Said:
        return self.send("POST", f"{workflow}/instances", {"instance_id": name, **fields})

    def batch(self, *names: str, workflow: str = "w") -> Said:
        return self.send("POST", f"{workflow}/instances/batch", [{"instance_id": name} for name in names])

    def event(self, name: str, kind: str = "paid", payload: Any = None, workflow: str = "w") -> Said:
        return self.send("POST", f"{workflow}/instances/{name}/events/{kind}", payload or {})

    def change(self, name: str, to: str, workflow: str = "w", **fields: Any) -> Said:
        return self.send("PATCH", f"{workflow}/instances/{name}/status", {"status": to, **fields})

    def get(self, name: str, workflow: str = "w") -> Any:
        return self.send("GET", f"{workflow}/instances/{name}").result

    def status(self, name: str, workflow: str = "w") -> str | None:
        """None: there is no such instance."""
        found = self.get(name, workflow)
        return None if found is None else found["status"]

    def listed(self, query: str = "", workflow: str = "w") -> list[str]:
        return [row["id"] for row in self.send("GET", f"{workflow}/instances{query}").result]

    def wait(self, seconds: float) -> None:
        self.clock.ms += int(seconds * 1000)

    def fault(self, **fields: Any) -> Said:
        return self.send("POST", "/emulator/faults", fields)
