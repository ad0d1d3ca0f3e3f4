"""Orders and "go" events for the real engine: what is produced, the rules, and what must come of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from bridge.cloudflare.client import Client
from bridge.cloudflare.responses import Meaning, meaning
from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import FastTransport
from bridge.errors import ApiRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.end_to_end.recorder import Recorder

RULES: list[dict[str, Any]] = [
    {
        "name": "paid-order",
        "when": 'body.type == "order" && body.paid',
        "create": {"workflow": "wait", "id": "o-${body.n}", "params": "${body}"},
    },
    {
        "name": "free-order",
        "when": 'body.type == "order" && !body.paid',
        "create": {"workflow": "echo", "id": "o-${body.n}", "params": "${body}"},
    },
    {
        "name": "go",
        "when": 'body.type == "go"',
        "event": {"workflow": "wait", "id": "o-${body.n}", "type": "go", "payload": {"n": "${body.n}"}},
    },
]
AUDIT: dict[str, Any] = {  # without an id: made from the message's identity
    "name": "audit",
    "when": 'body.type == "order" && body.n % 5 == 0',
    "create": {"workflow": "echo", "params": {"audited": "${body.n}"}},
}


class Scenario(NamedTuple):
    """So many orders, the first of which are paid: they wait for an event."""

    orders: int
    paid: int
    audited: bool = False

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The rules for these messages."""
        return [*RULES, AUDIT] if self.audited else RULES

    @property
    def bodies(self) -> Sequence[bytes]:
        """All messages: some events come long before their order, some long after."""
        orders = [{"type": "order", "n": n, "paid": n < self.paid} for n in range(self.orders)]
        events = [{"type": "go", "n": n} for n in range(self.paid)]
        early, late = events[: self.paid // 4], events[self.paid // 4 :]
        return [orjson.dumps(message) for message in [*early, *orders, *late]]

    @property
    def names(self) -> set[str]:
        """The calls with a known name that must reach the target."""
        creates = {f"create o-{n}" for n in range(self.orders)}
        return creates | {f"event o-{n} {n}" for n in range(self.paid)}

    @property
    def audits(self) -> int:
        """How many instances the rule without an id makes."""
        return len(range(0, self.orders, 5)) if self.audited else 0

    @property
    def calls(self) -> int:
        """How many different calls there are."""
        return len(self.names) + self.audits

    def config(self, source: dict[str, Any], recorder: Recorder, **more: Any) -> dict[str, Any]:
        """The bridge's configuration; the token comes by the environment or a file in ``more``."""
        target = {
            "account_id": recorder.account_id,
            "base_url": recorder.base_url,
            "timeout_seconds": 60,
            "concurrency": 4,  # the engine makes some 100 instances a second
        }
        return {
            "targets": {"main": {**target, "api_token_file": more.pop("token_file")}},
            "sources": {"orders": source},
            "rules": self.rules,
            **more,
        }


def engine_client(recorder: Recorder) -> Client:
    """A client that asks the engine itself, past the recorder."""
    url = f"http://127.0.0.1:{recorder.engine.port}/client/v4"
    settings = TargetSettings.model_validate(
        {"account_id": recorder.account_id, "api_token": recorder.token, "base_url": url}
    )
    return Client(settings, FastTransport(settings))


async def statuses(recorder: Recorder, scenario: Scenario, seconds: float = 60) -> dict[str, str]:
    """The engine's word on every order's instance, once they have all ended or ``seconds`` are over."""
    client = engine_client(recorder)
    open_ids = {f"o-{n}": "wait" if n < scenario.paid else "echo" for n in range(scenario.orders)}
    found: dict[str, str] = {}
    try:
        async with asyncio.timeout(seconds):
            while len(found) < scenario.orders:
                for instance_id in open_ids.keys() - found.keys():
                    status = await _status(client, open_ids[instance_id], instance_id)
                    if status not in {"", "running", "queued", "waiting"}:
                        found[instance_id] = status
    except TimeoutError:
        pass
    finally:
        await client.close()
    return found


async def _status(client: Client, workflow: str, instance_id: str) -> str:
    """Empty for an instance whose create is still under way."""
    try:
        return (await client.get_instance(workflow, instance_id, simple=True)).status
    except ApiRefused as refused:
        if meaning(refused) is Meaning.INSTANCE_MISSING:
            return ""
        raise
