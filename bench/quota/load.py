"""Calls that wait in an outbox file before the bridge starts, as if they had come in over the minutes before."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

from bridge.call import Call, Operation, Policy
from bridge.message import Message
from bridge.outbox.base import Intake
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox

if TYPE_CHECKING:
    from pathlib import Path

SIGNALLED = 64  # instances that events go to
POLICY = Policy("quota").encode()


class Mix(NamedTuple):
    """What waits for one bridge, per second of its backlog."""

    name: str  # prefix of workflows and ids
    creates: int  # over three workflows
    events: float
    seconds: int


async def fill(path: Path, mix: Mix) -> None:
    """Make the file."""
    outbox = SqliteOutbox(SqliteSettings(path=path), clock=_now_ms)
    await outbox.open()
    began_ms = _now_ms() - 1000 * mix.seconds
    receipts = []
    for second in range(mix.seconds):
        calls = [_create(mix, second * mix.creates + n) for n in range(mix.creates)]
        calls += [_event(n) for n in range(int(second * mix.events), int((second + 1) * mix.events))]
        message = Message("orders", f"{mix.name}/0/{second}", "quota", None, (), b"{}", None, {})
        intake = Intake("orders", [(message, call) for call in calls], [], {}, began_ms + 1000 * second)
        receipts.append(await outbox.add(intake))
    await asyncio.gather(*(receipt.wait() for receipt in receipts))
    await outbox.close()


def _create(mix: Mix, number: int) -> Call:
    instance_id = f"{mix.name}-{number}"
    body = b'{"instance_id":"%s","params":{"n":%d}}' % (instance_id.encode(), number)
    return Call(Operation.CREATE, "main", f"{mix.name}-w{number % 3}", instance_id, "", body, POLICY)


def _event(number: int) -> Call:
    body = b'{"n":%d}' % number
    return Call(Operation.EVENT, "main", "signals", f"s-{number % SIGNALLED}", "go", body, POLICY)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
