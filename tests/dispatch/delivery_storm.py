"""Messages of many lanes through rules, a real outbox file and an API that fails in every way that it knows.

``python -m tests.dispatch.delivery_storm --messages 100000 --lanes 10000`` prints one line of JSON and ends with 1
where a promise was broken; the tests run a smaller one.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import structlog

from bridge.cloudflare.client import Client
from bridge.cloudflare.transport import Answer
from bridge.dispatch.dispatcher import Dispatcher
from bridge.dispatch.gate import Line
from bridge.dispatch.sending import Sender
from bridge.dispatch.timeline import Clock
from bridge.errors import ApiUnknown
from bridge.metrics import Metrics
from bridge.outbox.base import Intake
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.dispatch.fast_loop import fast_clock, run_fast
from tests.dispatch.in_process import InProcess
from tests.routing.messages import message, route, router

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SPEED = 50.0  # of the clock: pauses and retries are waited for, but not by us
now_ms = fast_clock(SPEED)
FAULTS = 0.2
BATCH = 500  # messages of one fetch
CONCURRENCY = 32

WHERE = {"workflow": "w-${body.lane % 3}", "id": "i-${body.lane}"}
EVENT = {**WHERE, "type": "go", "payload": {"n": "${body.n}"}}
CREATE = {**WHERE, "params": {"n": "${body.n}"}, "metadata": True}
RULES: Sequence[dict[str, Any]] = (
    {"when": 'body.do == "create"', "create": CREATE},
    {"when": 'body.do == "new"', "create": {**CREATE, "if_exists": "new"}},
    {"when": 'body.do == "event"', "event": {**EVENT, "if_missing": "wait 1h"}},
    {"when": 'body.do == "start"', "event": {**EVENT, "if_missing": "create", "create": {"params": {}}}},
)
# What the messages of a lane do, in order; lanes take these in turn.
SHAPES: Sequence[Sequence[str]] = (
    ("create", *["event"] * 9),
    ("event", "event", "create", *["event"] * 7),  # the first two are parked
    ("start",) * 10,
    ("new", "event", "event", "new", "event", "event", "new", "event", "event", "event"),
)


class Sent(NamedTuple):
    """One event that the API has taken in."""

    lane: int
    n: int
    instance: str
    mark: str  # _bridge.id
    lost: bool  # its answer never arrived


class FaultyApi(InProcess):
    """The emulator as a transport; a fifth of all requests meets one of the faults."""

    def __init__(self, seed: int) -> None:
        workflows = {f"w-{n}": "waits: never" for n in range(3)}
        super().__init__(now_ms, workflows=workflows, quota=None, creation=None)
        self.requests = 0
        self.faults: Counter[str] = Counter()
        self.events: list[Sent] = []
        self._chance = random.Random(seed)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        """See Transport."""
        self.requests += 1
        await asyncio.sleep(self._chance.random() * 0.05)
        fault = self._chance.choice(FAULTS_OF_ALL_KINDS) if self._chance.random() < FAULTS else ""
        self.faults[fault or "none"] += 1
        if fault in _INSTEAD:
            return _INSTEAD[fault]
        if fault == "lost request":
            raise ApiUnknown("the connection was lost", "connection_lost")
        if fault == "batch leaves one out unmade" and url.endswith("/batch"):
            body = orjson.dumps(orjson.loads(body or b"[]")[1:])
        answer = await super().send(method, url, headers, body, timeout_seconds)
        self._note(url, body, answer, lost=fault in {*_AFTERWARDS, WORKED})
        if fault == WORKED:
            return _refusal(500, 10001)
        if fault in _AFTERWARDS:
            raise ApiUnknown("no complete answer in time", _AFTERWARDS[fault])
        if fault == "batch answer leaves some out" and url.endswith("/batch") and answer.status == 200:
            told = orjson.loads(answer.body)
            return answer._replace(body=orjson.dumps(told | {"result": told["result"][::2]}))
        return answer

    def _note(self, url: str, body: bytes | None, answer: Answer, *, lost: bool) -> None:
        if "/events/" not in url or answer.status != 200:
            return
        instance = url.split("/instances/")[1].split("/", maxsplit=1)[0]
        payload = orjson.loads(body or b"")
        lane = int(instance.split("-")[1])
        self.events.append(Sent(lane, payload["n"], instance, payload["_bridge"]["id"], lost))


def _refusal(status: int, code: int, **headers: str) -> Answer:
    body = {"success": False, "errors": [{"code": code, "message": "no"}], "messages": [], "result": None}
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, orjson.dumps(body))


_INSTEAD = {
    "500": _refusal(500, 10001),
    "503": _refusal(503, 0),
    "bad gateway": Answer(502, {}, b"<html>bad gateway</html>"),
    "no envelope": Answer(200, {}, b"welcome to the hotel"),
    "429": _refusal(429, 971, retry_after="1"),
    "429 without retry-after": _refusal(429, 10429),
    "401": _refusal(401, 10000),
    "403": _refusal(403, 9109),
    "workflow missing": _refusal(404, 10200),
}
_AFTERWARDS = {"timeout after doing the work": "timeout", "lost answer": "connection_lost"}
WORKED = "500 after doing the work"
# Those that pause a target or a workflow are rare, as they are in life; the others are even.
FAULTS_OF_ALL_KINDS = [
    *["lost request", "timeout after doing the work", "lost answer", "500", "503", "bad gateway", "no envelope"] * 40,
    *["batch answer leaves some out", "batch leaves one out unmade", WORKED] * 40,
    *["429", "401", "workflow missing"] * 2,
    "403",
    "429 without retry-after",
]


def messages(count: int, lanes: int, seed: int) -> Iterator[tuple[int, int, str]]:
    """Lane, number within the lane, and what to do: lanes mixed, each in its own order."""
    order = [lane for lane in range(lanes) for _ in range(count // lanes)]
    random.Random(seed).shuffle(order)
    at: Counter[int] = Counter()
    for lane in order:
        shape = SHAPES[lane % len(SHAPES)]
        yield lane, at[lane], shape[at[lane] % len(shape)]
        at[lane] += 1


async def storm(folder: Path, count: int, lanes: int, seed: int) -> tuple[FaultyApi, SqliteOutbox]:
    """Everything taken in and sent, until nothing is left."""
    api = FaultyApi(seed)
    metrics = Metrics()
    outbox = SqliteOutbox(SqliteSettings(path=folder / "outbox.db"), clock=now_ms)
    await outbox.open()
    sender = Sender(Client(api.target, api), metrics, asyncio.get_running_loop().time)
    clock = Clock(now_ms, random.Random(seed).random, lambda: now_ms() / 1000)
    dispatcher = Dispatcher(outbox, {"main": Line(sender, CONCURRENCY)}, metrics, clock)
    task = asyncio.create_task(dispatcher.run())
    made = router(*RULES)
    batch = []
    for offset, (lane, n, do) in enumerate(messages(count, lanes, seed)):
        batch.append(message(orjson.dumps({"lane": lane, "n": n, "do": do}), offset=offset))
        if len(batch) == BATCH:
            await _add(outbox, made, batch)
            batch = []
    await _add(outbox, made, batch)
    while outbox.depth().ready or outbox.depth().later:
        if task.done():
            await task
        await asyncio.sleep(1.0)
    dispatcher.stop()
    await task
    await outbox.close()
    return api, outbox


async def _add(outbox: SqliteOutbox, made: Any, batch: Sequence[Any]) -> None:
    routed = route(made, *batch)
    assert not routed.dead
    if routed.calls:
        await (await outbox.add(Intake("orders", routed.calls, [], {}, now_ms()))).wait()


def broken(api: FaultyApi, outbox: SqliteOutbox, count: int, lanes: int, seed: int) -> list[str]:
    """The promises that were broken, in words; empty where none was."""
    events: dict[int, list[int]] = defaultdict(list)
    creates: Counter[int] = Counter()
    marks: dict[tuple[int, int], str] = {}
    for offset, (lane, n, do) in enumerate(messages(count, lanes, seed)):
        marks[lane, n] = f"shop.orders/0/{offset}"
        if do in {"event", "start"}:
            events[lane].append(n)
        else:
            creates[lane] += 1
    found = [f"{outbox.depth().dead} dead letters"] if outbox.depth().dead else []
    found += _wrong_instances(api, creates, lanes)
    sent: dict[int, list[Sent]] = defaultdict(list)
    for event in api.events:
        sent[event.lane].append(event)
        if event.mark != marks[event.lane, event.n]:
            found.append(f"lane {event.lane}: event {event.n} has the mark {event.mark}")
    for lane in range(lanes):
        found += _wrong_events(lane, events[lane], sent[lane])
    return found


def _wrong_instances(api: FaultyApi, creates: Counter[int], lanes: int) -> Iterator[str]:
    """Every lane has one instance; with ``if_exists: new`` as many as it has creates, each of another message."""
    made: dict[int, list[Any]] = defaultdict(list)
    for workflow in api.application.account.workflows.values():
        for instance in workflow.order:
            made[int(instance.id.split("-")[1])].append(instance)
    for lane in range(lanes):
        ids = [instance.id for instance in made[lane]]
        if len(ids) != max(1, creates[lane]) or len(set(ids)) != len(ids):
            yield f"lane {lane}: instances {ids} of {creates[lane]} creates"
        marked = [instance.params["_bridge"]["id"] for instance in made[lane] if instance.params]
        if len(set(marked)) != len(marked):
            yield f"lane {lane}: a message made two instances: {marked}"


def _wrong_events(lane: int, expected: Sequence[int], sent: Sequence[Sent]) -> Iterator[str]:
    """Every event arrived, in order; twice only where the answer to the one before was lost, and nothing between."""
    firsts: list[int] = []
    for before, event in zip([None, *sent], sent, strict=False):
        if before is None or before.n != event.n:
            firsts.append(event.n)
        elif not before.lost:
            yield f"lane {lane}: event {event.n} repeated without a cause"
    if firsts != list(expected):
        yield f"lane {lane}: events {firsts} instead of {list(expected)}"


def summary(api: FaultyApi, count: int, lanes: int, seconds: float, found: Sequence[str]) -> dict[str, Any]:
    """What is printed."""
    repeated = len(api.events) - len({(event.lane, event.n) for event in api.events})
    return {
        "messages": count,
        "lanes": lanes,
        "requests": api.requests,
        "faults_share": round(1 - api.faults["none"] / api.requests, 3),
        "faults": dict(api.faults),
        "events": len(api.events),
        "events_repeated": repeated,
        "answers_lost": sum(event.lost for event in api.events),
        "broken_promises": len(found),
        "seconds": round(seconds, 1),
    }


def main() -> int:
    """Run one; the exit code says whether every promise held."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--lanes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        api, outbox = run_fast(storm(Path(folder), given.messages, given.lanes, given.seed), SPEED)
    found = broken(api, outbox, given.messages, given.lanes, given.seed)
    for line in found[:20]:
        sys.stderr.write(line + "\n")
    told = summary(api, given.messages, given.lanes, time.monotonic() - began, found)
    sys.stdout.write(orjson.dumps(told).decode() + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
