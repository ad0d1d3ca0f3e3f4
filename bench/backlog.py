"""A million entries that cannot go: what they cost those that can, next to an outbox with none, in the same run.

All but the last kind lie in the queue that the fresh traffic goes through, which is the hard case.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.load import body
from bench.paced import Traffic, played
from bench.receiving import stubbed
from bench.running import free_port, make_topic
from bench.scenes import Place, Scene, config
from bridge.call import Call, Operation, Policy
from bridge.message import Message
from bridge.outbox.base import Entry, Intake, Queue, Settlement, Verdict
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.paced import Played

NAME = "backlog"
WORKFLOW, MISSING = "bench", "missing"
LATER_MS = 24 * 3600 * 1000
CHUNK = 1_000
AIMS = {"cpu": 1.2, "p99": 1.5, "memory_mib": 50.0, "start_seconds": 2.0}
HALVES = {
    "create": {"workflow": WORKFLOW, "id": "o-${body.order_id}", "params": "${body}"},
    "event": {"workflow": WORKFLOW, "id": "o-${body.order_id}", "type": "paid", "payload": {"total": "${body.total}"}},
}
RULES = [
    {"name": "created", "when": "body.total < 62.5", "create": HALVES["create"]},
    {"name": "paid", "when": "body.total >= 62.5", "event": HALVES["event"]},
]


class Pending(NamedTuple):
    """How many entries of each kind."""

    blocked: int = 300_000  # behind the dead letter of one lane
    parked: int = 300_000  # events, each of an instance that does not exist
    delayed: int = 300_000  # creates, due tomorrow
    ready: int = 100_000  # creates of a workflow that does not exist: it is paused, and tried now and then

    @classmethod
    def of(cls, total: int) -> Pending:
        """The same shares of another number."""
        return cls(*(total * many // sum(cls()) for many in cls()))


EMPTY = Pending(0, 0, 0, 1)  # one, so that there is a first request to wait for


async def preload(path: Path, pending: Pending) -> None:
    """Make an outbox file that holds these, by the outbox's own methods."""
    outbox = SqliteOutbox(SqliteSettings(path=path), clock=_now_ms)
    await outbox.open()
    queue = Queue("main", WORKFLOW)
    for first in range(0, pending.parked, CHUNK):
        await _add(outbox, [_event(f"p-{n}") for n in range(first, min(first + CHUNK, pending.parked))])
        await _settle(outbox, await outbox.pending(queue, 0, CHUNK), Verdict.PARK)
    if pending.blocked:
        await _add(outbox, [_event("blocked")])
        await _settle(outbox, await outbox.pending(queue, 0, CHUNK), Verdict.DEAD)
    for first in range(0, pending.blocked, CHUNK):
        await _add(outbox, [_event("blocked")] * min(CHUNK, pending.blocked - first))
        await outbox.pending(queue, 0, CHUNK)
    for first in range(0, pending.delayed, CHUNK):
        await _add(outbox, [_create(f"d-{n}", LATER_MS) for n in range(first, min(first + CHUNK, pending.delayed))])
    for first in range(0, pending.ready, CHUNK):
        made = [_create(f"m-{n}", workflow=MISSING) for n in range(first, min(first + CHUNK, pending.ready))]
        await _add(outbox, made)
    await outbox.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _create(name: str, delay_ms: int = 0, workflow: str = WORKFLOW) -> Call:
    text = b'{"instance_id":"' + name.encode() + b'","params":' + body(1) + b"}"
    due_ms = _now_ms() + delay_ms if delay_ms else 0
    return Call(Operation.CREATE, "main", workflow, name, "", text, Policy("old").encode(), not_before_ms=due_ms)


def _event(name: str) -> Call:
    policy = Policy("old", wait_seconds=LATER_MS / 1000, blocks_lane=True).encode()
    return Call(Operation.EVENT, "main", WORKFLOW, name, "paid", body(1), policy)


async def _add(outbox: SqliteOutbox, calls: list[Call]) -> None:
    at_ms = _now_ms()
    pairs = [(Message("in", f"t/0/{n}", "t", b"k", (), body(1), at_ms, {}), call) for n, call in enumerate(calls)]
    await (await outbox.add(Intake("in", pairs, [], {}, at_ms))).wait()


async def _settle(outbox: SqliteOutbox, entries: Iterator[Entry] | Any, verdict: Verdict) -> None:  # noqa: ANN401
    at_ms = _now_ms()
    await outbox.settle([Settlement(e, verdict, "missing", "", at_ms + LATER_MS, at_ms) for e in entries])


def play(address: str, folder: Path, *, runs: int, total: int, traffic: Traffic) -> dict[str, Any]:
    """Empty and full in turn; medians and their ratios."""
    files = {"empty": folder / "empty.db", "full": folder / "full.db"}
    asyncio.run(preload(files["empty"], EMPTY))
    asyncio.run(preload(files["full"], Pending.of(total)))
    results: dict[str, list[Played]] = {"empty": [], "full": []}
    for number in range(runs):
        for name, file in files.items():
            results[name].append(_run(address, folder / f"{name}-{number}", file, traffic))
    return _compared(results, total)


def _run(address: str, folder: Path, file: Path, traffic: Traffic) -> Played:
    folder.mkdir()
    make_topic(address, f"{NAME}-{folder.name}")
    place = Place(folder, address, f"{NAME}-{folder.name}", 0, free_port())
    shutil.copyfile(file, place.outbox)
    _sync(place.outbox)
    settings = config(Scene(NAME, "", "kafka", {}, 0, 0), place) | {"rules": RULES}
    with stubbed() as receiver:
        result = played(settings, place, traffic, receiver)
    shutil.rmtree(folder)
    return result


def _sync(path: Path) -> None:
    """Else the bridge's first checkpoint would write what the copying left in the system's cache, a gigabyte."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _compared(results: dict[str, list[Played]], total: int) -> dict[str, Any]:
    empty, full = (
        {field: statistics.median(getattr(run, field) for run in runs) for field in runs[0]._fields}
        for runs in results.values()
    )
    ratios = {
        "cpu_ratio": full["cpu_us"] / empty["cpu_us"],
        "p99_ratio": full["p99_ms"] / empty["p99_ms"],
        "memory_more_mib": full["peak_mib"] - empty["peak_mib"],
        "start_seconds": full["start_seconds"],
    }
    each = {name: [run._asdict() for run in runs] for name, runs in results.items()}
    return {"scene": NAME, "pending": total, **ratios, "aims": AIMS, "empty": empty, "full": full, "runs": each}


def show(result: dict[str, Any]) -> None:
    """For people."""
    print(json.dumps(result))
