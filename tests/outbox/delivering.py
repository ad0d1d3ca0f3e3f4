"""``python -m tests.outbox.delivering FILE KILLS``: stores and delivers calls, and is killed again and again.

The process that is killed the Nth time is so before the Nth statement that SQLite is asked to do, once it is open; the
next one goes on with the same file. After each kill every call has to wait or to have its row in the ledger, none both,
none neither. Prints how many are in the ledger at the end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import closing
from itertools import count, islice
from pathlib import Path

from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.base import Settlement, Verdict
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.outbox.subjects import ORDERS, START_MS, create, intake_of


def places(path: Path) -> tuple[list[int], list[int]]:
    """The numbers of the calls that wait, and of those in the ledger."""
    with closing(sqlite3.connect(path)) as connection:
        waiting = [name for (name,) in connection.execute("SELECT instance_id FROM entries")]
    known = [row.instance_id for row in SqliteOutboxAdmin(path).ledger(limit=1_000_000)]
    return [int(name) for name in waiting], [int(name) for name in known]


async def deliver(path: Path, kill_at: int) -> None:
    """Until it is killed."""
    outbox = SqliteOutbox(SqliteSettings(path=path), clock=lambda: START_MS)
    await outbox.open()
    waiting, known = places(path)
    numbers, asked, after = count(len(waiting) + len(known)), count(1), 0

    def kill(_statement: str) -> None:
        if next(asked) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    await outbox.ask(lambda store: store._connection.set_trace_callback(kill))
    while True:
        stored = await outbox.add(intake_of(*(create(n, str(n)) for n in islice(numbers, 3))))
        await stored.wait()
        entries = await outbox.pending(ORDERS, after, 2)
        if entries:
            after = entries[-1].seq
            done = [Settlement(entry, Verdict.DELIVERED, "created", settled_ms=START_MS) for entry in entries]
            await outbox.settle(done)


def main() -> None:
    """Raises AssertionError where a kill has parted a verdict from its row."""
    path, kills = Path(sys.argv[1]), int(sys.argv[2])
    for kill_at in range(1, kills + 1):
        child = os.fork()
        if not child:
            asyncio.run(deliver(path, kill_at))
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        waiting, known = places(path)
        assert sorted((*waiting, *known)) == list(range(len(waiting) + len(known))), f"killed before {kill_at}"
    sys.stdout.write(f"{len(known)}\n")


if __name__ == "__main__":
    main()
