"""A used id, and an absent instance: rules, a real outbox file and the emulator."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from bridge.dispatch import verdicts
from bridge.outbox.base import Intake
from tests.dispatch.test_dispatcher import Bench, now_ms, refusal, running
from tests.routing.messages import message, route, router

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bridge.cloudflare.transport import Answer

Rule = dict[str, Any]
CREATE = {"workflow": "wait", "id": "order-${body.id}", "params": {"n": "${body.n}"}}
RESTART: Rule = {"when": "body.t == 'c'", "create": {**CREATE, "if_exists": "restart"}}
NEW: Rule = {"when": "body.t == 'c'", "create": {**CREATE, "if_exists": "new"}}
EVENT: Rule = {"workflow": "wait", "id": "order-${body.id}", "type": "go", "payload": {"n": "${body.n}"}}


class Feed:
    """Messages of one source, each routed by the rules."""

    def __init__(self, bench: Bench, *rules: Rule) -> None:
        self._bench = bench
        self._router = router(*rules)
        self.sent: list[bytes] = []

    async def add(self, *bodies: Mapping[str, Any], again: Sequence[int] = ()) -> None:
        """New messages; or those of these numbers, once more."""
        offset = len(self.sent)
        self.sent += [orjson.dumps(body) for body in bodies]
        numbers = again or range(offset, len(self.sent))
        messages = [message(self.sent[number], offset=number) for number in numbers]
        routed = route(self._router, *messages)
        assert not routed.dead
        await (await self._bench.outbox.add(Intake("orders", routed.calls, [], {}, now_ms()))).wait()

    async def done(self, *bodies: Mapping[str, Any], again: Sequence[int] = ()) -> None:
        """The same, and wait until nothing is left."""
        await self.add(*bodies, again=again)
        await self._bench.settled()


def changes(bench: Bench) -> list[tuple[str, str]]:
    """What was carried out, without reads: operation and instance."""
    return [
        (record.operation, name)
        for record in bench.records
        if record.status == 200 and record.operation != "get"
        for name in (record.created or record.offered)
        if name is not None
    ]


def c(number: int, instance: int = 1) -> dict[str, Any]:
    return {"t": "c", "id": instance, "n": number}


def e(number: int, instance: int = 1) -> dict[str, Any]:
    return {"t": "e", "id": instance, "n": number}


async def test_fail_is_a_dead_letter(tmp_path: Path) -> None:
    """Another call's id is a dead letter with its reason; the same message again is not: its instance is its own."""
    async with running(tmp_path) as bench:
        feed = Feed(bench, {"create": {**CREATE, "if_exists": "fail"}})
        await feed.done(c(1))
        await feed.done(again=[0])
        assert bench.outbox.depth().dead == 0
        await feed.done(c(2))
        assert bench.outbox.depth().dead == 1
    assert bench.created == ["order-1"]


async def test_restart_restarts_what_another_call_made(tmp_path: Path) -> None:
    """One restart for each message that meets an instance of another, none for a repetition of its own."""
    async with running(tmp_path) as bench:
        feed = Feed(bench, RESTART)
        await feed.done(c(1))
        await feed.done(again=[0])
        await feed.done(c(2))
    assert changes(bench) == [("create", "order-1"), ("status", "order-1")]


async def test_event_signals_what_another_call_made(tmp_path: Path) -> None:
    """The event has its payload and the same ``_bridge.id`` as the create would have had."""
    rule = {"create": {**CREATE, "if_exists": "event", "event": {"type": "go", "payload": {"again": "${body.n}"}}}}
    async with running(tmp_path) as bench:
        feed = Feed(bench, rule)
        await feed.done(c(1))
        await feed.done(c(2))
        sent = [record.payload for record in bench.records if record.operation == "event"]
    assert changes(bench) == [("create", "order-1"), ("event", "order-1")]
    assert sent == [{"again": 2, "_bridge": {"id": "shop.orders/0/1", "source": "orders", "rule": "r0"}}]


async def test_new_makes_another_instance_and_later_calls_go_to_it(tmp_path: Path) -> None:
    """Events and status changes of the id go to the newest instance, in order, after a restart of the process too."""
    rules = [
        NEW,
        {"when": "body.t == 'e'", "event": EVENT},
        {"when": "body.t == 's'", "status": {"workflow": "wait", "id": "order-${body.id}", "to": "pause"}},
    ]
    async with running(tmp_path) as bench:
        feed = Feed(bench, *rules)
        await feed.done(c(1), e(1), c(2), e(2), e(3))
        [first, second] = bench.created
        assert changes(bench)[1:] == [("event", first), ("create", second), ("event", second), ("event", second)]
        await bench.restart()
        await feed.done(e(4), {"t": "s", "id": 1}, c(3), e(5))
        third = bench.created[-1]
        assert changes(bench)[5:] == [("event", second), ("status", second), ("create", third), ("event", third)]
        assert bench.outbox.depth().dead == 0
    assert first == "order-1"
    assert len({first, second, third}) == 3
    assert all(name.startswith("order-1-") for name in (second, third))


async def test_new_survives_lost_answers(tmp_path: Path) -> None:
    """Every answer is lost once: each message has exactly one instance all the same."""
    lost: set[tuple[str, bytes | None]] = set()

    def lose_once(url: str, body: bytes | None) -> str | None:
        if (url, body) in lost:
            return None
        lost.add((url, body))
        return "lost answer"

    async with running(tmp_path, lose_once) as bench:
        feed = Feed(bench, NEW)
        await feed.done(c(1), c(2), c(3), c(4, instance=2), c(5, instance=2))
        assert bench.outbox.depth().dead == 0
    assert len(bench.created) == len(set(bench.created)) == 5
    params = [i.params["n"] for i in bench.emulator.account.workflow("wait").order]
    assert sorted(params) == [1, 2, 3, 4, 5]


async def test_a_batch_of_used_ids_is_told_apart(tmp_path: Path) -> None:
    """Of 100 creates one is used by another, one by itself, one is refused by the API: each ends as it should."""

    def refuse(_url: str, body: bytes | None) -> Answer | None:
        return refusal(400, 10002) if body and b'"order-77"' in body else None

    async with running(tmp_path, refuse) as bench:
        feed = Feed(bench, {"create": {**CREATE, "if_exists": "fail"}})
        await feed.done(c(0, instance=5), c(1, instance=6))
        made = [c(n, instance=n) for n in range(10, 107)]
        await feed.add(*made, c(2, instance=5))
        await feed.done(again=[1])
        assert bench.outbox.depth().dead == 2
    assert sorted(bench.created) == sorted(f"order-{n}" for n in [5, 6, *range(10, 107)] if n != 77)


START: Rule = {"event": {**EVENT, "if_missing": "create", "create": {"params": {"started": "${body.n}"}}}}


async def test_start_or_signal(tmp_path: Path) -> None:
    """An event whose instance is absent creates it, with the params of its rule, and arrives; the next one finds it."""
    async with running(tmp_path) as bench:
        feed = Feed(bench, START)
        await feed.done(e(1), e(2))
        [instance] = bench.emulator.account.workflow("wait").order
    assert changes(bench) == [("create", "order-1"), ("event", "order-1"), ("event", "order-1")]
    assert (instance.id, instance.params) == ("order-1", {"started": 1})


async def test_start_or_signal_in_a_race(tmp_path: Path) -> None:
    """Events in lanes of their own find the instance absent at the same time: one instance, and every event arrives."""
    rule = {**START, "lane": "string(body.n)"}
    async with running(tmp_path) as bench:
        feed = Feed(bench, rule)
        await feed.done(*(e(n, instance=n % 5) for n in range(40)))
        assert bench.outbox.depth().dead == 0
    assert sorted(bench.created) == [f"order-{n}" for n in range(5)]
    assert sorted(n for _, n in bench.events) == list(range(40))


async def test_starts_travel_together(tmp_path: Path) -> None:
    """Events to a hundred absent instances cost far fewer than a hundred creates."""
    async with running(tmp_path) as bench:
        feed = Feed(bench, START)
        await feed.done(*(e(n, instance=n) for n in range(100)))
        creates = [record for record in bench.records if record.operation in {"create", "batch"}]
    assert len(bench.created) == 100
    assert len(creates) <= 30


@pytest.mark.parametrize("lose", ["create", "event"])
async def test_start_or_signal_survives_a_lost_answer(tmp_path: Path, lose: str) -> None:
    """Whichever of its answers is lost, there is one instance, and the event arrives at least once."""
    left = [1, 1]

    def fault(url: str, _body: bytes | None) -> str | None:
        lost = lose == ("event" if "/events/" in url else "create")
        return "lost answer" if lost and left and left.pop() else None

    async with running(tmp_path, fault) as bench:
        feed = Feed(bench, START)
        await feed.done(e(1), e(2, instance=2))
    assert sorted(bench.created) == ["order-1", "order-2"]
    assert {n for _, n in bench.events} == {1, 2}


async def test_start_unparks_who_waits(tmp_path: Path) -> None:
    """An event that waits in a lane of its own is sent as soon as another event has started its instance."""
    rules = [
        {"when": "body.t == 'w'", "lane": "'apart'", "event": {**EVENT, "if_missing": "wait 1h"}},
        {"when": "body.t == 'e'", **START},
    ]
    async with running(tmp_path) as bench:
        feed = Feed(bench, *rules)
        await feed.add({"t": "w", "id": 1, "n": 1})
        await bench.until(lambda: bench.outbox.depth().later > 0)
        await feed.done(e(2))
    assert sorted(n for _, n in bench.events) == [1, 2]


@pytest.mark.parametrize("late_event", [0, 1], ids=["first try", "probe"])
async def test_what_was_asked_before_its_instance_came_is_asked_again(
    tmp_path: Path, late_event: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The "not found" of a call in another lane is older than the create's success: its next probe would be far off."""
    probes = SimpleNamespace(bound_seconds=lambda attempt: 0.1 if attempt <= late_event else 600.0)
    monkeypatch.setattr(verdicts, "PROBES", probes)
    answers: list[asyncio.Future[Answer]] = []

    def fault(url: str, _body: bytes | None) -> asyncio.Future[Answer] | None:
        if "/events/" not in url or len(answers) > late_event:
            return None
        answers.append(asyncio.get_running_loop().create_future())
        if len(answers) <= late_event:
            answers[-1].set_result(refusal(404, 10400))
        return answers[-1]

    waiting = {"when": "body.t == 'w'", "lane": "'apart'", "event": {**EVENT, "if_missing": "wait 1h"}}
    async with running(tmp_path, fault) as bench:
        feed = Feed(bench, waiting, {"when": "body.t == 'c'", "create": CREATE})
        await feed.add({"t": "w", "id": 1, "n": 1})
        await bench.until(lambda: len(answers) > late_event)
        await feed.add({"t": "c", "id": 1, "n": 2})
        await bench.until(lambda: bench.created == ["order-1"] and bench.outbox.depth().ready == 1)
        answers[-1].set_result(refusal(404, 10400))
        await bench.settled()
    assert [n for _, n in bench.events] == [1]
