"""Every cell of the outcome table played: rules make the calls, the dispatcher sends them, answers are scripted.

``python -m tests.dispatch.matrix`` prints the rows of ``config/outcomes.md``; ``test_matrix.py`` compares them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from bridge.cloudflare.client import Client
from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import Answer
from bridge.dispatch.dispatcher import Dispatcher
from bridge.dispatch.gate import Line
from bridge.dispatch.sending import Sender
from bridge.dispatch.timeline import Clock
from bridge.errors import ApiUnknown
from bridge.metrics import Metrics
from bridge.outbox.base import Intake, Verdict
from bridge.outbox.memory import MemoryOutbox
from bridge.outbox.settings import MemorySettings
from tests.routing.messages import message, route, router

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridge.outbox.base import DeadLetter, Settlement

CREATE = {"workflow": "w", "id": "i-${body.id}", "params": {"n": 1}}
EVENT = {"workflow": "w", "id": "i-${body.id}", "type": "go"}
Rule = dict[str, Any]
RULES: Mapping[str, Rule] = {
    "create, `if_exists: skip`": {"create": CREATE},
    "create, `if_exists: fail`": {"create": {**CREATE, "if_exists": "fail"}},
    "create, `if_exists: restart`": {"create": {**CREATE, "if_exists": "restart"}},
    "create, `if_exists: event`": {"create": {**CREATE, "if_exists": "event", "event": {"type": "again"}}},
    "create, `if_exists: new`": {"create": {**CREATE, "if_exists": "new"}},
    "event, `if_missing: wait 15m`": {"event": EVENT},
    "event, `if_missing: create`": {"event": {**EVENT, "if_missing": "create", "create": {"params": {"n": 1}}}},
    "event, `if_missing: drop`": {"event": {**EVENT, "if_missing": "drop"}},
    "event, `if_missing: dead-letter`": {"event": {**EVENT, "if_missing": "dead-letter"}},
    "event, `on_unknown: dead-letter`": {"event": {**EVENT, "on_unknown": "dead-letter"}},
    "status": {"status": {"workflow": "w", "id": "i-${body.id}", "to": "terminate"}},
}


class Scene(NamedTuple):
    """What the API is like. Each answer is for the first request of its sort; what is not named is carried out."""

    name: str
    calls: int  # rendered at once; of creates, more than one make a batch
    first: Any = None  # the answer to the first request, whatever it is
    get: str = "foreign"  # what a look at the instance shows: own, foreign, missing
    operations: str = "create event status"  # of which it can be the answer
    bad_id: str = ""  # an element that the API refuses, and with it every batch that it is in


class Script:
    """A transport that answers as the scene says and remembers what was asked."""

    def __init__(self, scene: Scene) -> None:
        self.asked: list[str] = []
        self._scene = scene
        self._made: list[Any] = []  # params of creates
        self._left_out: set[str] = set()  # ids

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        """See Transport."""
        del headers, timeout_seconds
        self.asked.append(_named(method, url, body))
        first = len(self.asked) == 1
        if method == "GET":
            return self._seen()
        sent = orjson.loads(body or b"null")
        creations = sent if isinstance(sent, list) else [sent]
        if url.endswith(("/instances", "/batch")):
            self._made += [item.get("params") for item in creations]
        answer = self._scene.first if first else None
        if isinstance(answer, Exception):
            raise answer
        return _refused(*answer) if isinstance(answer, tuple) else self._carried_out(url, sent, creations)

    def _carried_out(self, url: str, sent: Any, creations: Sequence[Any]) -> Answer:
        if self._scene.first == "left out" and len(self.asked) == 1:
            return self._leave_out(creations, creations[:-1])
        if self._scene.first == "left out twice" and url.endswith("/batch"):
            return self._leave_out(creations, creations[:1])
        ids = [item.get("instance_id") for item in creations]
        if self._scene.get != "missing" and ids[0] in self._left_out:
            return _refused(400, 10405)
        return _refused(400, 10002) if self._scene.bad_id and self._scene.bad_id in ids else _answer(url, sent)

    def _leave_out(self, creations: Sequence[Any], made: Sequence[Any]) -> Answer:
        self._left_out |= {item["instance_id"] for item in creations} - {item["instance_id"] for item in made}
        return _done([_created(item) for item in made])

    def _seen(self) -> Answer:
        if self._scene.get == "missing":
            return _refused(404, 10400)
        params = self._made[-1] if self._scene.get == "own" else {"_bridge": {"id": "somebody else's"}}
        return _done({"status": "running", "params": params})

    async def close(self) -> None:
        """See Transport."""


def _named(method: str, url: str, body: bytes | None) -> str:
    last = url.partition("/instances")[2].partition("?")[0]
    if method == "GET":
        return "look up"
    if last == "/batch":
        return f"batch of {len(orjson.loads(body or b'[]'))}"
    if last == "":
        instance_id = orjson.loads(body or b"{}")["instance_id"]
        return "create" if len(instance_id) < 5 else "create under another id"
    return str(orjson.loads(body or b"{}")["status"]) if last.endswith("/status") else "event"


def _answer(url: str, sent: Any) -> Answer:
    if url.endswith("/batch"):
        return _done([_created(item) for item in sent])
    if url.endswith("/instances"):
        return _done(_created(sent))
    return _done({"status": "running", "timestamp": ""})


def _created(item: Mapping[str, Any]) -> Mapping[str, str]:
    return {"id": item["instance_id"], "status": "queued", "version_id": "", "workflow_id": ""}


def _done(result: object) -> Answer:
    body = {"success": True, "errors": [], "messages": [], "result": result}
    return Answer(200, {}, orjson.dumps(body))


def _refused(status: int, code: int, content: bytes | None = None) -> Answer:
    body = {"success": False, "errors": [{"code": code, "message": "no"}], "messages": [], "result": None}
    return Answer(status, {}, content or orjson.dumps(body))


SCENES = (
    Scene("2xx", 1),
    Scene("used (10405), by an earlier attempt of its own", 1, (400, 10405), "own", "create"),
    Scene("used (10405), by another call", 1, (400, 10405), "foreign", "create"),
    Scene("left out of a batch answer, its own", 2, "left out", "own", "create"),
    Scene("left out of a batch answer, another's", 2, "left out", "foreign", "create"),
    Scene("left out of a batch answer with another one", 3, "left out twice", "foreign", "create"),
    Scene("left out of a batch answer, and not there", 2, "left out", "missing", "create"),
    Scene("no such instance (10400, 10201)", 1, (404, 10400), operations="event status"),
    Scene("cannot terminate (10401)", 1, (400, 10401), operations="status"),
    Scene("no such Workflow (10200)", 1, (404, 10200)),
    Scene("401, 403, 10000, 9109, 6003, 7003, 7000", 1, (403, 10000)),
    Scene("429, 971, 10429", 1, (429, 971)),
    Scene("timeout, connection lost", 1, ApiUnknown("no complete answer in time", "timeout")),
    Scene("408, 5xx, 10001", 1, (500, 10001)),
    Scene("no envelope", 1, (502, 0, b"<html>")),
    Scene("another 4xx", 1, (400, 10002)),
    Scene("another 4xx on a batch of four, for one of them", 4, operations="create", bad_id="i-1"),
)


class Letters:
    """Confirms dead letters."""

    async def open(self) -> None:
        """Nothing to open."""

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """They are kept nowhere: the verdicts say it all."""

    async def close(self) -> None:
        """Nothing to close."""


class Watched(MemoryOutbox):
    """Remembers verdicts."""

    verdicts: list[Settlement]
    changed: asyncio.Event

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """See Outbox."""
        self.verdicts += settlements
        self.changed.set()
        await super().settle(settlements)


def now_ms() -> int:
    """The clock."""
    return time.time_ns() // 1_000_000


async def play(rule: Rule, scene: Scene) -> tuple[list[str], list[str]]:
    """The requests that were made until every call had a verdict or something paused, and what became of the calls."""
    outbox = Watched(MemorySettings(), Letters(), clock=now_ms)
    outbox.verdicts, outbox.changed = [], asyncio.Event()
    await outbox.open()
    script = Script(scene)
    settings = TargetSettings.model_validate({"account_id": "a" * 32, "api_token": "t"})
    metrics = Metrics()
    line = Line(Sender(Client(settings, script), metrics, time.monotonic), concurrency=1)
    dispatcher = Dispatcher(outbox, {"main": line}, metrics, Clock(now_ms, random.Random(1).random, time.monotonic))
    made = [message(orjson.dumps({"id": n}), offset=n) for n in range(scene.calls)]
    at_ms = now_ms()
    routed = route(router(rule), *made)
    await outbox.add(Intake("orders", routed.calls, [], {}, at_ms))
    task = asyncio.create_task(dispatcher.run())
    while len(outbox.verdicts) < scene.calls and not dispatcher.paused:
        outbox.changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(outbox.changed.wait(), 0.005)  # a pause tells nobody
    ends = [f"{_fate(s)}" for s in outbox.verdicts]
    ends += [_pause(dispatcher)] if dispatcher.paused else []
    asked = list(script.asked)
    dispatcher.stop()
    await task
    await outbox.close()
    return asked, ends


def _fate(settlement: Settlement) -> str:
    word = {
        Verdict.DELIVERED: "delivered",
        Verdict.RETRY: "again later",
        Verdict.PARK: "parked",
        Verdict.DEAD: "dead letter",
    }
    return f"{word[settlement.verdict]} (`{settlement.reason}`)"


def _pause(dispatcher: Dispatcher) -> str:
    [(scope, reason)] = dispatcher.paused.items()
    return f"stays, its {'target' if isinstance(scope, str) else 'Workflow'} pauses (`{reason}`)"


def cell(asked: Sequence[str], ends: Sequence[str]) -> str:
    """Requests in order, and what became of the calls; with how many, where there are several."""
    counted = [f"{ends.count(end)} {end}" if len(ends) > 1 else end for end in dict.fromkeys(ends)]
    return f"{' → '.join(asked)} | {'; '.join(counted)}"


def cells() -> Iterator[tuple[str, Rule, Scene]]:
    """Every call with every answer that it can get."""
    for name, rule in RULES.items():
        for scene in SCENES:
            if next(iter(rule)) in scene.operations.split():
                yield name, rule, scene


async def page() -> str:
    """The rows of the page, played."""
    return "".join([f"| {name} | {scene.name} | {cell(*await play(rule, scene))} |\n" for name, rule, scene in cells()])


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(page()))
