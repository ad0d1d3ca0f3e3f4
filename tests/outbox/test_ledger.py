"""The ledger of the SQLite outbox: what it says, that it says it exactly when it happens, and what that costs."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from contextlib import closing
from datetime import timedelta
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bridge.call import Policy
from bridge.outbox import ledger
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.base import DeadLetter, Dropped, Intake, Settlement, Verdict
from bridge.outbox.file import connect
from bridge.outbox.ledger import FULL_ROWS, SMALL_CHUNKS, Keeping, Ledger
from bridge.outbox.ledger_rows import lines_settled, packed, unpacked
from bridge.outbox.overview import LedgerFilter, LedgerRow
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sql import QUERIES
from bridge.outbox.sqlite import SqliteOutbox
from tests.outbox.subjects import START_MS, Subject, call, create, event, message, soon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.outbox.base import Entry

ROOT = Path(__file__).parents[2]
DAY_MS = 86_400_000
DELIVERED, RETRY, DEAD = Verdict.DELIVERED, Verdict.RETRY, Verdict.DEAD


def rows(subject: Subject, **chosen: Any) -> list[LedgerRow]:
    return SqliteOutboxAdmin(subject.path).ledger(limit=10_000, chosen=LedgerFilter(**chosen))


def chunks(subject: Subject) -> list[int]:
    """How many rows each has, in order."""
    with closing(sqlite3.connect(subject.path)) as connection:
        return [many for (many,) in connection.execute("SELECT rows FROM ledger ORDER BY number")]


async def reopen(subject: Subject, **keeping: Any) -> None:
    await subject.outbox.close()
    settings = SqliteSettings(path=subject.path)
    subject.outbox = SqliteOutbox(settings, clock=subject.clock, ledger=Keeping(**keeping))
    await subject.outbox.open()


async def delivered(subject: Subject, *numbers: int, **more: Any) -> None:
    """Store and deliver creates of these numbers, in one transaction each way."""
    await subject.store(*(create(n, f"order-{n}") for n in numbers))
    await subject.settle(DELIVERED, *await subject.pending(), reason="created", **more)


# --- what it says ----------------------------------------------------------------------------------------------------


async def test_message_and_instance_lead_to_each_other(sqlite: Subject) -> None:
    """With rule, configuration, call, answer, attempts and times."""
    policy = Policy("paid", config="0123456789ab").encode()
    await sqlite.store(create(1, "order-1"), event(2, "order-1", policy=policy), create(3, "order-3"))
    first, second, third = await sqlite.pending()
    sqlite.clock.now_ms += 250
    await sqlite.settle(DELIVERED, first, third, reason="created")
    await sqlite.settle(RETRY, second, reason="timeout", at_ms=START_MS)
    [second] = await sqlite.due()
    await sqlite.settle(DELIVERED, second, reason="sent")
    expected = LedgerRow(
        3, "orders", "shop.orders/0/2", "paid", "0123456789ab", "main", "fulfil-order", "event", "paid", "order-1", "",
        "delivered", "sent", 0, 2, START_MS, START_MS + 250,
    )  # fmt: skip
    assert rows(sqlite, message="shop.orders/0/2") == [expected]
    assert [row.message_id for row in rows(sqlite, instance="order-1")] == ["shop.orders/0/2", "shop.orders/0/1"]
    assert [row.number for row in rows(sqlite)] == [3, 2, 1]


async def test_an_instance_under_another_id_is_found_by_both(sqlite: Subject) -> None:
    """``if_exists: new`` makes one."""
    await delivered(sqlite, 1, generation="order-1-0f")
    assert [row.made for row in rows(sqlite, instance="order-1-0f")] == ["order-1-0f"]
    assert rows(sqlite, instance="order-1") == rows(sqlite, instance="order-1-0f") != []


async def test_what_died_and_what_was_dropped_is_in_it(sqlite: Subject) -> None:
    """At intake without a call or with one, and after an answer, with its code."""
    await sqlite.store(
        event(1, "gone"),
        event(2, "refused"),
        dead=[
            DeadLetter(message(3), "undecodable", "no JSON", died_ms=START_MS + 1),
            DeadLetter(message(4), "bad_id", "too long", "order-created", call("x" * 200), died_ms=START_MS + 1),
        ],
    )
    gone, refused = await sqlite.pending()
    await sqlite.settle(DELIVERED, gone, reason="dropped")
    await sqlite.settle(DEAD, refused, reason="rejected", detail="no such token: secret", code=10_001)
    found = [(r.message_id[-1], r.rule, r.instance_id, r.outcome, r.reason, r.code, r.attempts) for r in rows(sqlite)]
    assert found == [
        ("2", "order-created", "refused", "dead", "rejected", 10_001, 1),
        ("1", "order-created", "gone", "delivered", "dropped", 0, 1),
        ("4", "order-created", "x" * 200, "dead", "bad_id", 0, 0),
        ("3", "", "", "dead", "undecodable", 0, 0),
    ]
    assert [row.message_id for row in rows(sqlite, rule="")] == ["shop.orders/0/3"]
    assert len(rows(sqlite, outcome="dead")) == 3


async def test_what_a_rule_drops_is_in_it(sqlite: Subject) -> None:
    """With the rule's reason; a message id that is no Unicode stops nothing."""
    drops = [Dropped(message(n), "no order", "0123456789ab") for n in (1, 2)]
    odd = Dropped(message(3, id="\ud800"), "a test", "")
    intake = Intake("orders", [create(4, "order-4")], [], {}, START_MS, [*drops, odd])
    await soon((await sqlite.outbox.add(intake)).wait())
    found = [(r.message_id, r.outcome, r.reason, r.config, r.instance_id) for r in rows(sqlite, outcome="dropped")]
    assert found == [
        (r"\ud800", "dropped", "a test", "", ""),
        ("shop.orders/0/2", "dropped", "no order", "0123456789ab", ""),
        ("shop.orders/0/1", "dropped", "no order", "0123456789ab", ""),
    ]
    assert len(rows(sqlite, message="shop.orders/0/1")) == 1


async def test_it_holds_no_body_and_no_detail(sqlite: Subject) -> None:
    """Nothing of what a message says but the ids that rules made of it."""
    secret = b"sesame-open"
    pair = message(1, b'{"a": "%s"}' % secret, [("token", secret)], key=secret), call("order-1", body=secret)
    await sqlite.store(pair)
    await sqlite.settle(DEAD, *await sqlite.pending(), reason="rejected", detail=secret.decode())
    with closing(sqlite3.connect(sqlite.path)) as connection:
        everything = b"".join(content for (content,) in connection.execute("SELECT content FROM ledger"))
    assert b"order-1" in everything
    assert secret not in everything


async def test_pages_follow_each_other(sqlite: Subject) -> None:
    """Also from the middle of a chunk, by rule and time."""
    for first in range(0, 300, 100):
        sqlite.clock.now_ms += 1_000
        await delivered(sqlite, *range(first, first + 100))
    chosen = LedgerFilter(rule="order-created", since_ms=START_MS + 2_000, until_ms=START_MS + 3_000)
    admin, before, seen = SqliteOutboxAdmin(sqlite.path), None, []
    while page := admin.ledger(before, 33, chosen):
        seen += [row.message_id for row in page]
        before = page[-1].number
    assert seen == [f"shop.orders/0/{n}" for n in reversed(range(100, 200))]


async def test_off_writes_nothing_and_lets_go_of_what_is_there(sqlite: Subject) -> None:
    """``ledger.keep: off``."""
    await delivered(sqlite, *range(5))
    assert len(rows(sqlite)) == 5
    await reopen(sqlite, keep=None)
    await delivered(sqlite, *range(5, 9))
    assert rows(sqlite) == []


# --- chunks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 3, 40, 200])
async def test_small_chunks_become_one(sqlite: Subject, at_once: int) -> None:
    """However few rows a transaction has, there are few chunks; numbers and order stay, across restarts too."""
    numbers = iter(range(2 * FULL_ROWS + 30))
    while some := list(islice(numbers, at_once)):
        await delivered(sqlite, *some)
        if some[0] % 50 == 0:
            await reopen(sqlite)
    expected = [(n + 1, f"order-{n}") for n in range(2 * FULL_ROWS + 30)]
    assert [(row.number, row.instance_id) for row in reversed(rows(sqlite))] == expected
    assert len(chunks(sqlite)) <= len(expected) / SMALL_CHUNKS + SMALL_CHUNKS
    assert [row.number for row in rows(sqlite, instance="order-7")] == [8]


async def test_what_is_too_old_goes_a_little_at_a_time(sqlite: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each transaction lets go of a bounded number of chunks, until none is left that is older than ``keep``."""
    monkeypatch.setattr(ledger, "PRUNED_CHUNKS", 2)
    for n in range(5):
        await delivered(sqlite, *range(n * FULL_ROWS, (n + 1) * FULL_ROWS))
    sqlite.clock.now_ms += 7 * DAY_MS
    await delivered(sqlite, 1_000)
    assert chunks(sqlite) == [FULL_ROWS] * 5 + [1], "exactly as old as is kept"
    sqlite.clock.now_ms += 1
    left = []
    for n in range(1_001, 1_004):
        await sqlite.store(create(n, f"order-{n}"))
        left.append(sum(many == FULL_ROWS for many in chunks(sqlite)))
    assert left == [3, 1, 0]
    await reopen(sqlite, keep=timedelta(hours=1))
    sqlite.clock.now_ms += 2 * 3_600_000
    await sqlite.store(create(2_000, "last"))
    assert rows(sqlite) == []


async def test_it_never_takes_more_room_than_it_may(sqlite: Subject) -> None:
    """Above ``max_bytes`` the oldest go early; what it takes is not counted as the outbox's own."""
    await reopen(sqlite, max_bytes=4_000)
    for n in range(20):
        await delivered(sqlite, *range(n * FULL_ROWS, (n + 1) * FULL_ROWS))
    with closing(sqlite3.connect(sqlite.path)) as connection:
        [(size,)] = connection.execute("SELECT sum(length(keys) + length(content)) FROM ledger").fetchall()
        [(counted,)] = connection.execute("SELECT value FROM meta WHERE name = 'ledger_bytes'").fetchall()
    assert 0 < size == counted <= 4_000 + 2_000
    assert rows(sqlite)[0].instance_id == f"order-{20 * FULL_ROWS - 1}"


# --- with the settle, or not at all ----------------------------------------------------------------------------------


async def test_a_rolled_back_transaction_leaves_no_row(sqlite: Subject) -> None:
    """The disk refuses the commit once: the verdict is written once, and so is its row."""
    await sqlite.store(create(1, "order-1"))
    store = sqlite.outbox._writer._store  # type: ignore[attr-defined]
    commit, refusals = store.commit, count(1)

    def full_once() -> None:
        if next(refusals) == 1:
            store.ledger.flush(START_MS)
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        commit()

    store.commit = full_once
    await sqlite.settle(DELIVERED, *await sqlite.pending(), reason="created")
    assert [row.number for row in rows(sqlite)] == [1]


async def test_after_a_kill_row_and_settle_are_one(tmp_path: Path) -> None:
    """SIGKILL before each statement of some transactions in turn: a call waits or has its row, none both or neither."""
    command = [sys.executable, "-m", "tests.outbox.delivering", str(tmp_path / "outbox.db"), "40"]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await soon(process.communicate())
    assert process.returncode == 0
    assert int(output) > 20


# --- what it costs ---------------------------------------------------------------------------------------------------


def entries_of(subject_entries: Sequence[Entry], many: int) -> list[Settlement]:
    [entry] = subject_entries
    return [
        Settlement(entry._replace(instance_id=f"o-{n}", message_id=f"orders/3/{n}"), DELIVERED, "created")
        for n in range(many)
    ]


async def test_statements_do_not_grow_with_rows(sqlite: Subject) -> None:
    """A transaction's rows are one INSERT, whether there are ten of them or a thousand."""
    asked: list[str] = []
    store = sqlite.outbox._writer._store  # type: ignore[attr-defined]
    counts = []
    for many in (200, 1_000):
        await sqlite.store(*(create(n, f"order-{n}") for n in range(many)))
        entries = await sqlite.pending()
        store._connection.set_trace_callback(asked.append)
        asked.clear()
        await sqlite.settle(DELIVERED, *entries, reason="created")
        store._connection.set_trace_callback(None)
        counts.append(sum("ledger" in statement for statement in asked))
    assert counts[0] == counts[1] <= 3


async def test_rows_are_small_and_quickly_made(sqlite: Subject) -> None:
    """At most 40 bytes each, and as quickly packed as a few rows are inserted; both with an order of slack."""
    await sqlite.store(create(1, "order-1"))
    settlements = entries_of(await sqlite.pending(), 1_000)
    started = time.process_time()
    for _ in range(20):
        chunk = packed(lines_settled(settlements))
    spent_us = (time.process_time() - started) / 20 / 1_000 * 1e6
    assert chunk.weight / 1_000 < 40
    assert spent_us < 10
    assert len(unpacked(chunk.content).messages) == 1_000


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose ledger has a million rows: ten thousand chunks, as batches of a hundred leave them."""
    path = tmp_path_factory.mktemp("million") / "outbox.db"
    with closing(connect(path)) as connection:
        policy = {n: Policy(f"rule-{n}").encode() for n in range(50)}
        connection.execute("BEGIN")
        entry: Any = None
        for first in range(0, 1_000_000, 100):
            made = []
            for n in range(first, first + 100):
                entry = (
                    0, "create", "main", "fulfil", f"order-{n * 7919 % 1_000_003}", "", b"", policy[first // 100 % 50],
                    "", 1, 0, "orders", f"orders/{n % 12}/{n // 12}", START_MS, START_MS + first, 0, 0,
                )  # fmt: skip
                made.append((entry, DELIVERED, "created", "", 0, START_MS + first, True, 0, "", 0))
            connection.execute(QUERIES["insert_ledger"], (first + 1, *packed(lines_settled(made))))  # type: ignore[arg-type]
        connection.execute("COMMIT")
    return path


def test_a_million_rows_are_looked_through_at_once(million: Path) -> None:
    """By message, instance, or rule and time: the first page comes within a second, of this process's own time too."""
    admin = SqliteOutboxAdmin(million)
    asked = {
        LedgerFilter(message="orders/3/1042"): 1,
        LedgerFilter(instance="order-17"): 1,
        LedgerFilter(instance="order-none"): 0,
        LedgerFilter(rule="rule-7", since_ms=START_MS + 500_000): 100,
        LedgerFilter(rule="rule-none"): 0,
        LedgerFilter(): 100,
    }
    for chosen, many in asked.items():
        started = time.process_time()
        found = admin.ledger(limit=100, chosen=chosen)
        assert time.process_time() - started < 1
        assert len(found) == many, chosen


def test_the_ledger_of_an_older_process_goes_on(million: Path) -> None:
    """Opening one costs nothing that grows with it: a bounded number of rows is read."""
    with closing(sqlite3.connect(million)) as connection:
        steps = count()
        connection.set_progress_handler(lambda: next(steps) < 0, 100)
        state: Any = type("State", (), {"ledger_bytes": 0})
        Ledger(connection, state, Keeping())
        assert next(steps) < 100
