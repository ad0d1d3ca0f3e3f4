"""A process that loads an SQLite outbox until it is killed; says on its standard output what it was promised.

Lines: "stored N" when the receipt of batch N resolved, "gone SEQ…" when verdicts were on disk, "due SEQ…" for retries.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.call import Operation
from bridge.message import Position
from bridge.outbox.base import Settlement, Verdict
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from tests.outbox.subjects import ORDERS, START_MS, call, intake_of, message

if TYPE_CHECKING:
    from bridge.outbox.base import Receipt

BATCH = 7
LANES = 50
AT_ONCE = 4  # batches whose receipts are awaited


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def load(outbox: SqliteOutbox, first: int) -> None:
    """One batch after the other, each with its position, receipts awaited aside."""
    free = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as receipts:
        for batch in range(first, sys.maxsize):
            numbers = range(batch * BATCH, (batch + 1) * BATCH)
            calls = [(message(n), call(f"lane-{n % LANES}", Operation.EVENT)) for n in numbers]
            receipt = await outbox.add(intake_of(*calls, positions={"t/0": Position(numbers[-1], START_MS)}))
            await free.acquire()
            receipts.create_task(confirm(batch, receipt, free))


async def confirm(batch: int, receipt: Receipt, free: asyncio.Semaphore) -> None:
    await receipt.wait()
    free.release()
    say("stored", batch)


async def work(outbox: SqliteOutbox, rng: random.Random) -> None:
    """Deliver most, put some off, let some die: one at a time per lane is not kept here, only what is on disk."""
    after = 0
    while True:
        await outbox.wait_for_work()
        entries = [*await outbox.due(START_MS, 50), *await outbox.pending(ORDERS, after, 50)]
        after = max([after, *(entry.seq for entry in entries)])
        verdicts = [rng.choice([Verdict.DELIVERED, Verdict.DELIVERED, Verdict.RETRY, Verdict.DEAD]) for _ in entries]
        await outbox.settle(
            [Settlement(entry, verdict, "x", at_ms=START_MS) for entry, verdict in zip(entries, verdicts, strict=True)]
        )
        for entry, verdict in zip(entries, verdicts, strict=True):
            if verdict is not Verdict.RETRY:
                say(verdict.value, entry.message_id.rpartition("/")[2])


async def main() -> None:
    outbox = SqliteOutbox(SqliteSettings(path=Path(sys.argv[1])), clock=lambda: START_MS)
    await outbox.open()
    stored = (await outbox.stored("orders", ["t/0"]))["t/0"]
    first = 0 if stored.last is None else (stored.last.offset + 1) // BATCH
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load(outbox, first))
        tasks.create_task(work(outbox, random.Random(int(sys.argv[2]))))


if __name__ == "__main__":
    asyncio.run(main())
