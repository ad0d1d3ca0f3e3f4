"""A bridge with its admin listener between an embedded broker and an emulator, each of its own."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import httpx
import orjson

from bridge.demo.broker import EmbeddedBroker
from bridge.emulator.fixture import RunningEmulator
from bridge.emulator.settings import EmulatorSettings
from tests.end_to_end.bridge_process import BridgeProcess
from tests.services.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SECONDS = 60.0
ORDERS, PAYMENTS = "shop.orders", "shop.payments"
WORKFLOWS = {"fulfil-order": "waits: payment-received", "pick-line": "completes", "never-well": "fails"}
RULES: list[dict[str, Any]] = [
    {"name": "ignore-tests", "when": 'headers[?"x-test"].orValue("") == "1"', "drop": "test message"},
    {
        "name": "order-created",
        "from": "orders",
        "when": 'body.type == "order.created" && body.total > 0',
        "create": {"workflow": "fulfil-order", "id": "order-${body.order_id}", "params": "${body}"},
    },
    {
        "name": "payment-received",
        "from": "payments",
        "when": 'body.type == "payment.received"',
        "event": {
            "workflow": "fulfil-order",
            "id": "order-${body.order_id}",
            "type": "payment-received",
            "payload": {"amount": "${body.amount}"},
        },
    },
]


class Scene:
    """Enter it; everything of it ends when it is left."""

    def __init__(
        self, folder: Path, admin: Mapping[str, Any] | None = None, *, quota: bool = False, **more: Any
    ) -> None:
        """admin, more: over the ordinary configuration. quota: whether the API has one, as production has."""
        self._quota: dict[str, Any] = {"quota": {}} if quota else {}
        self._folder = folder
        (self.port,) = free_ports(1)
        self._admin = {"port": self.port, **(admin or {})}
        self._more = more
        self._stack = ExitStack()
        self.broker: EmbeddedBroker
        self.emulator: RunningEmulator
        self.bridge: BridgeProcess

    @property
    def url(self) -> str:
        """Of the page; the API is below ``/api/v1``."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        enter = self._stack.enter_context
        self.broker = enter(EmbeddedBroker())
        for topic in (ORDERS, PAYMENTS):
            self.broker.create_topic(topic)
        settings = EmulatorSettings.model_validate({"workflows": WORKFLOWS, "account_id": "demo", **self._quota})
        self.emulator = enter(RunningEmulator(settings))
        token = {"WORKFLOW_BRIDGE_TARGETS__MAIN__API_TOKEN": self.emulator.token}
        self.bridge = enter(BridgeProcess(self._folder / "bridge", self._config(), token))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _config(self) -> dict[str, Any]:
        kafka = {"type": "kafka", "bootstrap_servers": self.broker.bootstrap.split(","), "group_id": "bridge"}
        return {
            "targets": {"main": {"account_id": "demo", "base_url": self.emulator.base_url}},
            "sources": {
                "orders": {**kafka, "topics": [ORDERS], "unmatched": "dead-letter"},
                "payments": {**kafka, "topics": [PAYMENTS]},
            },
            "rules": RULES,
            "admin": self._admin,
            **self._more,
        }

    def produce(self, topic: str, *bodies: object) -> None:
        """Messages with these JSON values, or bytes, as bodies."""
        failed: list[object] = []
        for body in bodies:
            text = body if isinstance(body, bytes) else orjson.dumps(body)
            self.broker.produce(topic, "key", text, lambda error, _: failed.append(error) if error else None)
        assert self.broker.flush() == 0
        assert failed == []

    def order(self, number: int, total: float = 10) -> dict[str, Any]:
        """A message that starts an instance, where its total is above 0."""
        return {"type": "order.created", "order_id": number, "total": total}

    def get(self, path: str, **headers: str) -> Any:
        """The answer of the API, which is a success."""
        answer = httpx.get(f"{self.url}/api/v1{path}", headers=headers, trust_env=False, timeout=SECONDS)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def until(self, path: str, seen: Callable[[Any], bool]) -> Any:
        """The first answer with which ``seen`` is content."""
        deadline = time.monotonic() + SECONDS
        while not seen(answer := self.get(path)):
            assert time.monotonic() < deadline, f"the last answer of {path} was {answer}"
            time.sleep(0.05)
        return answer
