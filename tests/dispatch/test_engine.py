"""A used id and an absent instance on the real engine, asked afterwards what it has."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from bridge.cloudflare.client import Client
from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import open_transport
from bridge.dispatch.dispatcher import Dispatcher
from bridge.dispatch.gate import Line
from bridge.dispatch.sending import Sender
from bridge.dispatch.timeline import Clock
from bridge.metrics import Metrics
from bridge.outbox.base import Intake
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.dispatch.test_dispatcher import now_ms
from tests.routing.messages import message, route, router

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.services.workerd import Workerd

pytestmark = pytest.mark.workerd

CREATE = {"workflow": "wait", "id": "${body.do}-1", "params": {"n": "${body.n}"}}
EVENT = {"workflow": "wait", "id": "${body.to}", "type": "go", "payload": {"n": "${body.n}"}}
SIGNAL = {"type": "go", "payload": {"again": "${body.n}"}}
RULES: list[dict[str, Any]] = [
    *({"when": f'body.do == "{word}"', "create": {**CREATE, "if_exists": word}} for word in ("fail", "restart", "new")),
    {"when": 'body.do == "event"', "create": {**CREATE, "if_exists": "event", "event": SIGNAL}},
    {"when": 'body.do == "send"', "event": {**EVENT, "if_missing": "create", "create": {"params": {"n": "${body.n}"}}}},
]
FIRST = [{"do": word, "n": 1} for word in ("fail", "restart", "event", "new")]
SECOND = [
    *({"do": word, "n": 2} for word in ("fail", "restart", "event", "new")),
    {"do": "send", "to": "new-1", "n": 3},  # to the newest instance of this id
    {"do": "send", "to": "started", "n": 4},
]


async def test_what_the_rules_say_happens_on_the_engine(
    tmp_path: Path, make_workerd: Callable[[Mapping[str, str]], Workerd]
) -> None:
    """Fail is a dead letter; an event ends the wait; new makes another, which gets what comes later."""
    engine = make_workerd({"wait": "WaitForGo"})
    values = {"account_id": engine.account_id, "api_token": engine.token, "base_url": engine.base_url}
    settings = TargetSettings.model_validate(values)
    client, metrics = Client(settings, open_transport(settings)), Metrics()
    outbox = SqliteOutbox(SqliteSettings(path=tmp_path / "outbox.db"), clock=now_ms)
    await outbox.open()
    line = Line(Sender(client, metrics, time.monotonic), 4)
    dispatcher = Dispatcher(outbox, {"main": line}, metrics, Clock(now_ms, random.Random(1).random, time.monotonic))
    task = asyncio.create_task(dispatcher.run())
    made = router(*RULES)
    offset = 0
    for bodies in (FIRST, SECOND):
        batch = [message(orjson.dumps(body), offset=offset + n) for n, body in enumerate(bodies)]
        offset += len(batch)
        await (await outbox.add(Intake("orders", route(made, *batch).calls, [], {}, now_ms()))).wait()
        async with asyncio.timeout(30):
            while outbox.depth().ready or outbox.depth().later:
                await asyncio.sleep(0.01)
    assert outbox.depth().dead == 1
    listed = {row.id for row in (await client.list_instances("wait")).instances}
    [newest] = [name for name in listed if name.startswith("new-1-")]
    assert listed == {"fail-1", "restart-1", "event-1", "new-1", newest, "started"}
    outputs = {}
    for name in ("event-1", newest, "started"):
        while (found := await client.get_instance("wait", name)).status != "complete":
            await asyncio.sleep(0.01)
        output = orjson.loads(found.output)
        outputs[name] = output["payload"]["n"], {k: v for k, v in output["event"].items() if k != "_bridge"}
    assert outputs == {"event-1": (1, {"again": 2}), newest: (2, {"n": 3}), "started": (4, {"n": 4})}
    dispatcher.stop()
    await task
    await outbox.close()
    await client.close()
