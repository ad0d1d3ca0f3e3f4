"""Lanes that a dead letter blocks, calls without a lane, and the history that dead letters carry."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from bridge.control.diary import Diary
from bridge.control.letters import Letters
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.history import FIRST, LAST
from bridge.outbox.sqlite import SqliteOutbox
from tests.dispatch.test_dispatcher import refusal, running
from tests.dispatch.test_if_exists import Feed, e

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.cloudflare.transport import Answer
    from bridge.intake import Translation
    from tests.dispatch.test_dispatcher import Bench

EVENT = {"workflow": "wait", "id": "order-${body.id}", "type": "go", "payload": {"n": "${body.n}"}}
RULES: list[dict[str, Any]] = [
    {"when": "body.t == 'c'", "create": {"workflow": "wait", "id": "order-${body.id}"}},
    {"when": "body.t == 'e'", "on_dead": "block", "event": EVENT},
]


async def no_rules(source: str) -> Translation:
    raise AssertionError(source)


def letters_of(bench: Bench) -> Letters:
    """What operators do with the dead letters of the bench's outbox."""
    assert isinstance(bench.outbox, SqliteOutbox)
    return Letters(Diary(bench.outbox.ask, lambda: 0), no_rules)


def refuse_two(url: str, body: bytes | None) -> Answer | None:
    return refusal(400, 10002) if "/events/" in url and b'"n":2,' in (body or b"") else None


@pytest.mark.parametrize("what", ["release", "discard", "redrive"])
async def test_a_dead_letter_blocks_its_lane_until_it_is_seen_to(tmp_path: Path, what: str) -> None:
    """Nothing behind it goes, after a restart too; other lanes do. Seen to, the lane goes on in order.

    What is redriven goes first: it has its old place in the lane.
    """
    refusing = True

    def refuse(url: str, body: bytes | None) -> Answer | None:
        return refuse_two(url, body) if refusing else None

    async with running(tmp_path, refuse) as bench:
        feed = Feed(bench, *RULES)
        await feed.add({"t": "c", "id": 1}, {"t": "c", "id": 7}, *(e(n) for n in range(1, 6)), e(70, instance=7))
        await bench.until(lambda: bench.outbox.depth().dead == 1 and len(bench.events) == 2)
        await bench.restart()
        await feed.add(e(6), e(71, instance=7))
        await bench.until(lambda: ("order-7", 71) in bench.events)
        assert [n for name, n in bench.events if name == "order-1"] == [1]
        assert bench.outbox.depth().blocked == 1
        letters, refusing = letters_of(bench), False
        acts = {"discard": letters.discard([1], "ann"), "redrive": letters.redrive([1], "ann")}
        outcome = await letters.release(1, "ann") if what == "release" else None
        for name, act in acts.items():
            if name == what:
                (outcome,) = await act
            else:
                act.close()
        assert outcome is not None
        assert outcome.outcome in {"released", "discarded", "redriven"}
        await bench.settled()
        again = [2] if what == "redrive" else []
        assert [n for name, n in bench.events if name == "order-1"] == [1, *again, 3, 4, 5, 6]
        depth = bench.outbox.depth()
        assert (depth.blocked, depth.dead, depth.later) == (0, 1 if what == "release" else 0, 0)
        assert (await letters.release(1, "ann")).outcome == ("refused" if what == "release" else "gone")


async def test_a_redriven_call_of_another_lane_leaves_its_own(tmp_path: Path) -> None:
    """Its old lane goes on without it, and it is sent in the new one."""
    async with running(tmp_path, refuse_two) as bench:
        feed = Feed(bench, *RULES)
        await feed.add({"t": "c", "id": 1}, {"t": "c", "id": 7}, e(1), e(2), e(3))
        await bench.until(lambda: bench.outbox.depth().dead == 1)
        letters, (stored,) = letters_of(bench), SqliteOutboxAdmin(tmp_path / "outbox.db").dead_letters()
        assert stored.letter.call is not None
        call = stored.letter.call._replace(instance_id="order-7", body=stored.letter.call.body.replace(b"2", b"20"))
        assert (await letters.edit(1, "ann", call=call)).outcome == "edited"
        assert [done.outcome for done in await letters.redrive([1], "ann")] == ["redriven"]
        await bench.settled()
        assert [n for name, n in bench.events if name == "order-1"] == [1, 3]
        assert [n for name, n in bench.events if name == "order-7"] == [20]
        assert bench.outbox.depth().blocked == 0


async def test_a_dead_letter_lets_its_lane_go_on_by_default(tmp_path: Path) -> None:
    """What comes after it in its lane is sent."""
    async with running(tmp_path, refuse_two) as bench:
        feed = Feed(bench, RULES[0], {**RULES[1], "on_dead": "go-on"})
        await feed.done({"t": "c", "id": 1}, *(e(n) for n in range(1, 5)))
        assert bench.outbox.depth().dead == 1
    assert [n for _, n in bench.events] == [1, 3, 4]


async def test_the_command_works_on_the_file_of_a_bridge_that_does_not_run(tmp_path: Path) -> None:
    """What is discarded is gone before the next one starts, and its lane goes on."""
    async with running(tmp_path, refuse_two) as bench:
        await Feed(bench, *RULES).add({"t": "c", "id": 1}, e(1), e(2), e(3))
        await bench.until(lambda: bench.outbox.depth().dead == 1)
        await bench.stop()
        arguments = ["dead-letters", "discard", "1", "--outbox", str(tmp_path / "outbox.db")]
        told = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert (told.exit_code, told.stdout) == (0, "discard: 1 discarded\n")
        gone = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert (gone.exit_code, gone.stderr) == (1, "dead letter 1: there is none of this number\n")
        await bench.start()
        assert (bench.outbox.depth().dead, bench.outbox.depth().blocked) == (0, 0)
        await bench.settled()
        assert [n for _, n in bench.events] == [1, 3]


async def test_calls_without_a_lane_wait_for_none(tmp_path: Path) -> None:
    """With ``lane: none`` the events of one instance are sent at once, and one that is parked holds back no other."""
    async with running(tmp_path) as bench:
        rule = {"when": "body.t == 'e'", "lane": "none", "event": EVENT}
        feed = Feed(bench, rule, RULES[0])
        await feed.add(e(1), e(2), e(3))
        await bench.until(lambda: bench.outbox.depth().parked == 3)
        assert {queue.workflow for queue in bench.outbox.queues()} <= {"wait"}
        await feed.done({"t": "c", "id": 1})
    assert sorted(n for _, n in bench.events) == [1, 2, 3]


async def test_a_dead_letter_has_the_history_of_its_attempts(tmp_path: Path) -> None:
    """Each attempt with its time, reason, code and words, across a restart; of many the first and the last."""
    answers: list[Answer | str] = [refusal(500, 10001), refusal(503, 0), "lost request"]
    asked: list[str] = []

    def fault(url: str, _body: bytes | None) -> Answer | str | None:
        asked.append(url)
        return answers[(len(asked) - 1) % 3] if len(asked) < 5 else refusal(400, 10002)

    async with running(tmp_path, fault) as bench:
        await Feed(bench, RULES[0]).add({"t": "c", "id": 1})
        await bench.until(lambda: len(asked) == 2 and bench.outbox.depth().later == 1)
        await bench.restart()
        await bench.settled()
    letter = SqliteOutboxAdmin(tmp_path / "outbox.db").dead_letters()[0].letter
    assert [(a.reason, a.code) for a in letter.history] == [
        ("server_error", 0), ("server_error", 0), ("connection_lost", 0), ("server_error", 0), ("rejected", 10002)
    ]  # fmt: skip
    assert letter.attempts == 5
    times = [attempt.at_ms for attempt in letter.history]
    assert times == sorted(times)
    assert times[-1] == letter.died_ms
    assert FIRST + LAST == 20
