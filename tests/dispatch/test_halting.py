"""Rules, workflows and targets that an operator has paused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.dispatch.halting import NONE, Halts
from bridge.outbox.base import Queue
from tests.dispatch.test_dispatcher import running
from tests.dispatch.test_if_exists import Feed, e

if TYPE_CHECKING:
    from pathlib import Path

EVENT = {"workflow": "wait", "id": "order-${body.id}", "type": "go", "payload": {"n": "${body.n}"}}
RULES: list[dict[str, Any]] = [
    {"name": "made", "when": "body.t == 'c'", "create": {"workflow": "wait", "id": "order-${body.id}"}},
    {"name": "odd", "when": "body.t == 'e' && body.n % 2 == 1", "event": EVENT},
    {"name": "even", "when": "body.t == 'e' && body.n % 2 == 0", "event": EVENT},
]
ODD = Halts(rules=frozenset({"odd"}))


async def test_calls_of_a_paused_rule_wait_in_the_outbox(tmp_path: Path) -> None:
    """Other rules of the same workflow go on; lanes keep their order; a restart changes nothing; then all goes."""
    async with running(tmp_path) as bench:
        feed = Feed(bench, *RULES)
        bench.dispatcher.halt(ODD)
        await feed.add({"t": "c", "id": 1}, {"t": "c", "id": 2}, e(2), e(1), e(4), e(6, instance=2), e(3, instance=2))
        await bench.until(lambda: len(bench.events) == 2 and bench.outbox.depth().later >= 2)
        await bench.restart()
        bench.dispatcher.halt(ODD)
        await feed.add({"t": "c", "id": 3}, e(8, instance=3))
        await bench.until(lambda: ("order-3", 8) in bench.events)
        assert bench.events == [("order-1", 2), ("order-2", 6), ("order-3", 8)]
        await bench.until(lambda: bench.dispatcher.in_flight == 0)
        bench.dispatcher.halt(NONE)
        await bench.settled()
    assert [n for name, n in bench.events if name == "order-1"] == [2, 1, 4]
    assert [n for name, n in bench.events if name == "order-2"] == [6, 3]


async def test_many_calls_of_a_paused_rule_hold_up_no_other(tmp_path: Path) -> None:
    """More of them than dispatch has in its hands at once; each goes, once, when they may."""
    async with running(tmp_path) as bench:
        bench.dispatcher.halt(ODD)
        feed = Feed(bench, *RULES)
        await feed.add(*({"t": "c", "id": n} for n in range(60)))
        await feed.add(*(e(1, instance=n % 60) for n in range(5_000)), *(e(2, instance=100 + n) for n in range(2)))
        await feed.add({"t": "c", "id": 100}, {"t": "c", "id": 101})
        await bench.until(lambda: {("order-100", 2), ("order-101", 2)} <= set(bench.events))
        assert len(bench.events) == 2
        bench.dispatcher.halt(NONE)
        await bench.until(lambda: len(bench.events) > 500)


async def test_a_paused_workflow_is_not_called(tmp_path: Path) -> None:
    """Nor is anything else of a paused target, or where all is paused; and the metric tells."""
    async with running(tmp_path) as bench:
        for halts, labels in (
            (Halts(workflows=frozenset({Queue("main", "wait")})), [("main", "wait", "", "operator")]),
            (Halts(targets=frozenset({"main"})), [("main", "", "", "operator")]),
            (Halts(everything=True), []),
        ):
            bench.dispatcher.halt(halts)
            assert halts.labels() == labels
            before = len(bench.created)
            await Feed(bench, RULES[0]).add({"t": "c", "id": f"{before}-{halts.everything}"})
            other = {"create": {"workflow": "done", "id": "other-${body.id}"}}
            await Feed(bench, other).add({"t": "c", "id": before})
            if halts.workflows:
                await bench.until(lambda: f"other-{before}" in bench.created)  # noqa: B023  within this turn
            assert not any(name.startswith("order-") for name in bench.created[before:])
            bench.dispatcher.halt(NONE)
            await bench.settled()


async def test_what_is_paused_makes_no_other_replica_useful(tmp_path: Path) -> None:
    """Neither a paused target's calls, nor those of a workflow that is missing."""
    async with running(tmp_path) as bench:
        bench.dispatcher.halt(Halts(targets=frozenset({"main"})))
        await Feed(bench, RULES[0]).add(*({"t": "c", "id": n} for n in range(500)))
        await bench.until(lambda: bench.outbox.depth().ready == 500)
        assert bench.dispatcher.work == (0, True)
        bench.dispatcher.halt(NONE)
        await bench.settled()
        assert bench.dispatcher.work == (0, False)
        missing = {"create": {"workflow": "gone", "id": "m-${body.id}"}}
        await Feed(bench, missing).add(*({"id": n} for n in range(500)))
        await bench.until(lambda: bench.dispatcher.paused != {})
        assert bench.dispatcher.work == (0, True)
