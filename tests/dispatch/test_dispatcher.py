"""The second half with a real outbox file, the real client and the emulator over HTTP."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import pytest

from bridge.call import Call, IfMissing, Operation, Policy
from bridge.cloudflare.client import Client
from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import Answer, FastTransport
from bridge.dispatch.dispatcher import Dispatcher
from bridge.dispatch.gate import Line
from bridge.dispatch.sending import Sender
from bridge.dispatch.timeline import Clock
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings
from bridge.errors import ApiUnknown
from bridge.message import Message
from bridge.metrics import PREFIX, Metrics
from bridge.outbox.base import Intake
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bridge.emulator.journal import Record

Fault = Answer | str | asyncio.Future[Answer] | None
WORKFLOWS = {"done": "completes", "wait": "waits: go"}
SECONDS = 60.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def create(instance_id: str, workflow: str = "done", params: object = None) -> Call:
    body = orjson.dumps({"instance_id": instance_id, "params": params or {}})
    return Call(Operation.CREATE, "main", workflow, instance_id, "", body, Policy("create").encode())


def event(instance_id: str, number: int = 0, workflow: str = "wait", policy: Policy | None = None) -> Call:
    policy = policy or Policy("event")
    body = orjson.dumps({"n": number})
    return Call(Operation.EVENT, "main", workflow, instance_id, "go", body, policy.encode())


def intake(calls: Iterable[Call]) -> Intake:
    at_ms = now_ms()
    messages = [
        (Message("orders", f"t/0/{number}", "t", None, (), b"{}", at_ms, {}), call) for number, call in enumerate(calls)
    ]
    return Intake("orders", messages, [], {}, at_ms)


class Flaky:
    """A transport that, as it is told, loses a request, loses an answer, or gives an answer of its own, maybe later."""

    def __init__(self, inner: FastTransport, fault: Callable[[str, bytes | None], Fault]) -> None:
        self._inner = inner
        self._fault = fault

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        fault = self._fault(url, body)
        if isinstance(fault, asyncio.Future):
            fault = await fault
        if isinstance(fault, Answer):
            return fault
        if fault == "lost request":
            raise ApiUnknown("the connection broke", "connection_lost")
        answer = await self._inner.send(method, url, headers, body, timeout_seconds)
        if fault == "lost answer":
            raise ApiUnknown("no answer in time", "timeout")
        return answer

    async def close(self) -> None:
        await self._inner.close()


def refusal(status: int, code: int, **headers: str) -> Answer:
    body = {"success": False, "errors": [{"code": code, "message": "no"}], "messages": [], "result": None}
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, orjson.dumps(body))


def no_fault(_url: str, _body: bytes | None) -> None:
    return None


class Bench:
    """A running dispatcher between an outbox file and an emulator."""

    outbox: SqliteOutbox
    dispatcher: Dispatcher

    def __init__(self, path: Path, emulator: Emulator, sender: Sender, metrics: Metrics) -> None:
        self.emulator = emulator
        self._path = path
        self._sender = sender
        self._metrics = metrics
        self._task: asyncio.Task[None]

    async def start(self) -> None:
        self.outbox = SqliteOutbox(SqliteSettings(path=self._path), clock=now_ms)
        await self.outbox.open()
        lines = {"main": Line(self._sender, concurrency=8)}
        clock = Clock(now_ms, random.Random(1).random, time.monotonic)
        self.dispatcher = Dispatcher(self.outbox, lines, self._metrics, clock)
        self._task = asyncio.create_task(self.dispatcher.run())

    async def stop(self) -> None:
        self.dispatcher.stop()
        await asyncio.wait_for(self._task, SECONDS)
        await self.outbox.close()

    async def restart(self) -> None:
        """As a process that ends and begins again: only the file is left."""
        await self.stop()
        await self.start()

    async def add(self, calls: Iterable[Call]) -> None:
        await (await self.outbox.add(intake(calls))).wait()

    async def settled(self) -> None:
        """Wait until nothing is left."""
        async with asyncio.timeout(SECONDS):
            while self.outbox.depth().ready or self.outbox.depth().later:
                await asyncio.sleep(0.01)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                await asyncio.sleep(0.01)

    def metric(self, name: str) -> float:
        return self._metrics.registry.get_sample_value(PREFIX + name) or 0.0

    @property
    def records(self) -> Sequence[Record]:
        return self.emulator.journal.records

    @property
    def created(self) -> list[str]:
        return [name for record in self.records for name in record.created]

    @property
    def events(self) -> list[tuple[str, int]]:
        accepted = [record for record in self.records if record.operation == "event" and record.status == 200]
        return [(record.path.split("/instances/")[1].split("/")[0], record.payload["n"]) for record in accepted]


@asynccontextmanager
async def running(folder: Path, fault: Callable[[str, bytes | None], Fault] = no_fault) -> AsyncIterator[Bench]:
    api = {"workflows": WORKFLOWS, "ended_event": None}  # here more events come than are waited for
    async with Emulator(EmulatorSettings.model_validate(api)) as emulator:
        settings = TargetSettings.model_validate(
            {"account_id": emulator.account_id, "api_token": emulator.token, "base_url": emulator.base_url}
        )
        client = Client(settings, Flaky(FastTransport(settings), fault))
        metrics = Metrics()
        bench = Bench(folder / "outbox.db", emulator, Sender(client, metrics, time.monotonic), metrics)
        await bench.start()
        try:
            yield bench
        finally:
            await bench.stop()
            await client.close()


async def test_creates_go_in_batches(tmp_path: Path) -> None:
    """1,000 waiting creates take little more than ten requests, and each instance is there once."""
    async with running(tmp_path) as bench:
        await bench.add(create(f"i-{n}") for n in range(1000))
        await bench.settled()
    assert sorted(bench.created) == sorted(f"i-{n}" for n in range(1000))
    assert len(bench.records) <= 12


async def test_only_requests_that_were_saved_count(tmp_path: Path) -> None:
    """A batch saves as many requests as it makes instances, less one: none where it is refused, or its ids are used."""
    before: list[float] = []  # each request

    def fault(_url: str, _body: bytes | None) -> Fault:
        before.append(bench.metric("requests_saved_total"))
        return refusal(500, 10001) if len(before) == 1 else None

    async with running(tmp_path, fault) as bench:
        await bench.add([create(f"i-{n}") for n in range(100)])
        await bench.settled()
        assert before[:2] == [0, 0]
        saved = bench.metric("requests_saved_total")
        assert saved == sum(max(len(record.created) - 1, 0) for record in bench.records) > 0
        await bench.add([create(f"i-{n}") for n in range(100)])
        await bench.settled()
        assert bench.metric("requests_saved_total") == saved


async def test_a_single_create_goes_at_once(tmp_path: Path) -> None:
    """At low load a create does not wait for company."""
    async with running(tmp_path) as bench:
        await bench.add([create("alone")])
        await bench.settled()
        assert [record.operation for record in bench.records] == ["create"]


async def test_calls_of_one_lane_keep_their_order(tmp_path: Path) -> None:
    """Fifty events to each of ten instances arrive in order, though many are under way at once."""
    async with running(tmp_path) as bench:
        await bench.add(create(f"i-{n}", "wait") for n in range(10))
        await bench.add(event(f"i-{n}", k) for k in range(50) for n in range(10))
        await bench.settled()
    by_lane: dict[str, list[int]] = defaultdict(list)
    for lane, number in bench.events:
        by_lane[lane].append(number)
    assert by_lane == {f"i-{n}": list(range(50)) for n in range(10)}


async def test_an_event_waits_for_its_instance(tmp_path: Path) -> None:
    """Events that come first are parked, and go in order as soon as their create has succeeded."""
    async with running(tmp_path) as bench:
        await bench.add([event("late", 0), event("late", 1)])
        await bench.until(lambda: bench.outbox.depth().later > 0)
        await bench.add([create("late", "wait")])
        await bench.settled()
    assert bench.created == ["late"]
    assert bench.events == [("late", 0), ("late", 1)]


async def test_a_bad_instance_stops_only_itself(tmp_path: Path) -> None:
    """The API refuses a batch for one element: that one is a dead letter with its reason, the others are created."""

    def refuse_one(_url: str, body: bytes | None) -> Answer | None:
        return refusal(400, 10002) if body and b'"instance_id":"i-37"' in body else None

    async with running(tmp_path, refuse_one) as bench:
        await bench.add(create(f"i-{n}") for n in range(100))
        await bench.settled()
        assert bench.outbox.depth().dead == 1
    assert sorted(bench.created) == sorted(f"i-{n}" for n in range(100) if n != 37)


async def test_lost_answers_make_no_second_instance(tmp_path: Path) -> None:
    """A create whose answer was lost is sent again under the same id, and counts as delivered."""
    faults = iter(["lost answer", "lost request", "lost answer"])
    async with running(tmp_path, lambda url, _: next(faults, None) if "batch" in url else None) as bench:
        await bench.add(create(f"i-{n}") for n in range(40))
        await bench.settled()
        assert bench.outbox.depth().dead == 0
    assert sorted(bench.created) == sorted(f"i-{n}" for n in range(40))


async def test_a_used_id_is_delivered(tmp_path: Path) -> None:
    """Instances that exist already, alone or left out of a batch answer, are no news and no error."""
    async with running(tmp_path) as bench:
        await bench.add([create("used")])
        await bench.settled()
        await bench.add([create("used")])
        await bench.add([create("used"), create("new")])
        await bench.settled()
        assert bench.outbox.depth().dead == 0
    assert bench.created == ["used", "new"]


async def test_a_missing_workflow_pauses_itself_alone(tmp_path: Path) -> None:
    """Its calls stay where they are and go when it exists; the others go on meanwhile."""
    missing = True

    def fault(url: str, _body: bytes | None) -> Answer | None:
        return refusal(404, 10200) if missing and "/workflows/wait/" in url else None

    async with running(tmp_path, fault) as bench:
        await bench.add([create("w-1", "wait"), create("w-2", "wait")])
        await bench.until(lambda: bool(bench.dispatcher.paused))
        await bench.add([create("d-1")])
        await bench.until(lambda: bench.created == ["d-1"])
        missing = False
        await bench.settled()
        assert (bench.dispatcher.paused, bench.outbox.depth().dead) == ({}, 0)
    assert sorted(bench.created) == ["d-1", "w-1", "w-2"]


async def test_a_quota_block_is_waited_out(tmp_path: Path) -> None:
    """After 429 nothing is sent until ``retry-after`` is over, and it costs no attempt."""
    asked: list[float] = []

    def fault(_url: str, _body: bytes | None) -> Answer | None:
        asked.append(time.monotonic())
        return refusal(429, 971, retry_after="1") if len(asked) == 1 else None

    async with running(tmp_path, fault) as bench:
        await bench.add([create("i")._replace(policy=Policy("once", max_attempts=1).encode())])
        await bench.settled()
        assert bench.outbox.depth().dead == 0
    assert bench.created == ["i"]
    assert asked[1] - asked[0] >= 0.99  # the bridge counts in milliseconds


@pytest.mark.parametrize(("if_missing", "dead"), [(IfMissing.DROP, 0), (IfMissing.DEAD_LETTER, 1)])
async def test_an_event_need_not_wait(tmp_path: Path, if_missing: IfMissing, dead: int) -> None:
    """The rule may drop or dead-letter an event whose instance does not exist."""
    async with running(tmp_path) as bench:
        await bench.add([event("nobody", policy=Policy("event", if_missing=if_missing))])
        await bench.settled()
        assert bench.outbox.depth().dead == dead


@pytest.mark.slow
async def test_a_window_full_of_early_events_lets_their_creates_in(tmp_path: Path) -> None:
    """4,500 events of 30 instances are there before the instances' creates: the creates are found and go first."""
    async with running(tmp_path) as bench:
        await bench.add(event(f"i-{n}", k) for k in range(150) for n in range(30))
        await bench.add(create(f"i-{n}", "wait") for n in range(30))
        async with asyncio.timeout(120):
            while bench.outbox.depth().ready or bench.outbox.depth().later:
                await asyncio.sleep(0.05)
        assert bench.outbox.depth().dead == 0
    by_lane: dict[str, list[int]] = defaultdict(list)
    for lane, number in bench.events:
        by_lane[lane].append(number)
    assert by_lane == {f"i-{n}": list(range(150)) for n in range(30)}


async def test_a_probe_that_times_out_ends_no_pause(tmp_path: Path) -> None:
    """A refused token stays a refused token when the next try gets no answer at all."""
    answers: Iterator[Answer | str] = iter([refusal(403, 10000), "lost request"])
    async with running(tmp_path, lambda _url, _body: next(answers, None)) as bench:
        await bench.add([create("i")])
        await bench.until(lambda: next(iter(bench.dispatcher.paused.values()), "") == "unauthorized")
        await bench.settled()
        assert bench.dispatcher.paused == {}
    assert bench.created == ["i"]


@pytest.mark.slow
async def test_everything_arrives_through_faults(tmp_path: Path) -> None:
    """3,000 calls over 300 lanes, a fifth of all requests failing: order kept, instances once, no event lost."""
    chance = random.Random(7)
    kinds: list[Answer | str] = [
        "lost request",
        "lost answer",
        refusal(500, 10001),
        refusal(503, 0),
        Answer(502, {}, b"bad gateway"),
    ]

    def fault(_url: str, _body: bytes | None) -> Answer | str | None:
        return chance.choice(kinds) if chance.random() < 0.2 else None

    async with running(tmp_path, fault) as bench:
        calls = [create(f"i-{n}", "wait") for n in range(300)]
        calls += [event(f"i-{n}", k) for k in range(9) for n in range(300)]
        await bench.add(calls)
        async with asyncio.timeout(120):
            while bench.outbox.depth().ready or bench.outbox.depth().later:
                await asyncio.sleep(0.05)
        assert bench.outbox.depth().dead == 0
    assert sorted(bench.created) == sorted(f"i-{n}" for n in range(300))
    first: dict[str, list[int]] = defaultdict(list)
    for lane, number in bench.events:
        if number not in first[lane]:
            first[lane].append(number)
        else:
            assert number == max(first[lane])  # a repetition comes before what follows it
    assert first == {f"i-{n}": list(range(9)) for n in range(300)}


@pytest.mark.slow
async def test_twenty_rejections_in_a_row_pause_their_workflow(tmp_path: Path) -> None:
    """What is refused over and over with one code is more likely the workflow: it pauses, and few are buried.

    Its probes are still buried one by one, so the first call that the API takes ends the pause; others go on meanwhile.
    """

    def fault(url: str, body: bytes | None) -> Answer | None:
        return refusal(400, 10002) if "/workflows/wait/" in url and b"bad" in (body or b"") else None

    async with running(tmp_path, fault) as bench:
        await bench.add(create(f"bad-{n}", "wait") for n in range(20))
        await bench.until(lambda: "rejected" in bench.dispatcher.paused.values())
        await bench.until(lambda: bench.outbox.depth().dead == 19)  # once the verdicts on the way are stored
        await bench.add([create("good", "wait"), create("other")])
        await bench.until(lambda: bench.created == ["other"])
        await bench.settled()
        assert (bench.dispatcher.paused, bench.outbox.depth().dead) == ({}, 20)
    assert sorted(bench.created) == ["good", "other"]
