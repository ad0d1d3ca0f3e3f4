"""Outbox files that an older version wrote."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bridge.call import Policy
from bridge.errors import OutboxError
from bridge.message import Position
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.base import DeadLetter, Verdict
from bridge.outbox.file import connect
from bridge.outbox.history import stored
from bridge.outbox.migrating import copy_of
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sql import SCHEMA_VERSION
from bridge.outbox.sqlite import SqliteOutbox
from tests.outbox import older
from tests.outbox.subjects import ORDERS, START_MS, Subject, call, create, event, intake_of, message, soon

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
RETRY, PARK, DEAD = Verdict.RETRY, Verdict.PARK, Verdict.DEAD


async def filled(folder: Path, *, blocking: bool) -> Path:
    """A file of today with something in every table. blocking: a dead letter holds its lane."""
    subject = Subject("sqlite", folder)
    await subject.outbox.open()
    split = message(3)
    await subject.store(
        create(1, "ready"),
        create(2, "later", not_before_ms=START_MS + 60_000),
        (split, call("one")),
        (split, call("two")),
        event(4, "parked"),
        event(5, "retried"),
        event(6, "stopped", policy=Policy("stop", blocks_lane=blocking).encode()),
        event(7, "stopped"),
        create(10, "renewed"),
        positions={"t/0": Position(7, START_MS)},
        dead=[DeadLetter(message(8), "undecodable", "no JSON")],
    )
    entries = {entry.instance_id: entry for entry in reversed(await subject.pending())}
    await subject.settle(PARK, entries["parked"], reason="instance_missing", at_ms=START_MS + 30_000)
    await subject.settle(RETRY, entries["retried"], reason="timeout", at_ms=START_MS + 500)
    await subject.settle(DEAD, entries["stopped"], reason="rejected")
    await subject.settle(Verdict.DELIVERED, entries["renewed"], reason="renewed", generation="renewed-2")
    subject.outbox.note("quota", "{}")
    await soon((await subject.outbox.add(intake_of((message(9, id="m9"), call("seen")), source="payments"))).wait())
    await subject.outbox.close()
    return subject.path


async def contents(path: Path) -> dict[str, Any]:
    """All that a bridge finds in a file; the file is opened as the bridge does it."""
    outbox = SqliteOutbox(SqliteSettings(path=path), clock=lambda: START_MS)
    await outbox.open()
    depth, letters = outbox.depth(), SqliteOutboxAdmin(path).dead_letters()
    waiting = [*await soon(outbox.pending(ORDERS, 0, 100)), *await soon(outbox.due(START_MS + 90_000, 100))]
    found = {
        "entries": sorted(waiting),
        "stored": await outbox.stored("orders", ["t/0"]),
        "depth": depth,
        "note": outbox.noted("quota"),
        "newest": outbox.newest(ORDERS, "renewed"),
        "dead": [kept.letter for kept in letters],
    }
    await outbox.close()
    return found


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [f"version {connection.execute('PRAGMA user_version').fetchone()}", *connection.iterdump()]


@pytest.mark.parametrize("schema", ["1-first", "1", "2", "3", "4", "5", "6"])
async def test_an_older_file_is_migrated(tmp_path: Path, schema: str) -> None:
    """Everything in it is there afterwards, and the file as it was stands beside it, for its user alone."""
    today = await filled(tmp_path / "today", blocking=schema != "1-first")
    path = tmp_path / "state" / "outbox.db"
    older.make(path, schema, today)
    before = dump(path)
    expected, migrated = await contents(today), await contents(path)
    if schema == "1-first":  # there were neither notes, generations nor histories yet
        histories = sum(len(stored(letter.history) or b"") for letter in expected["dead"])
        depth = expected["depth"]._replace(dead_bytes=expected["depth"].dead_bytes - histories)
        dead = [letter._replace(history=()) for letter in expected["dead"]]
        expected |= {"note": "", "newest": "renewed", "dead": dead, "depth": depth}
    assert migrated == expected
    assert migrated["depth"].blocked == (schema != "1-first")
    copy = copy_of(path, int(schema[0]))
    assert dump(copy) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not list(path.parent.glob("*.part"))


@pytest.mark.parametrize("schema", ["1-first", "1", "2", "3", "4", "5", "6"])
async def test_a_migrated_file_is_like_a_new_one(tmp_path: Path, schema: str) -> None:
    """The same tables, columns and indexes: the steps and schema.sql say the same."""
    today = await filled(tmp_path / "today", blocking=False)
    path = tmp_path / "state" / "outbox.db"
    older.make(path, schema, today)
    connect(path).close()
    assert shape(path) == shape(today)


def shape(path: Path) -> Mapping[str, Any]:
    tables = rows(path, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    columns = {
        name: sorted(row[1:4] + row[5:] for row in rows(path, f"PRAGMA table_info({name})")) for (name,) in tables
    }
    indexes = rows(path, "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
    return {"version": rows(path, "PRAGMA user_version"), "columns": columns, "indexes": indexes}


async def test_a_kill_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """SIGKILL before each statement in turn, of the copy too, up to the commit: the next start finishes it."""
    today = await filled(tmp_path / "today", blocking=True)
    original, killed = tmp_path / "original" / "outbox.db", tmp_path / "killed"
    older.make(original, "1", today)
    old, expected = dump(original), await contents(today)
    kills = await killed_before_each_statement(original, killed)
    assert kills > 20
    copies = 0
    for number in range(1, kills + 1):
        path = killed / str(number) / "outbox.db"
        assert dump(path) == old
        copy = copy_of(path, 1)
        if copy.exists():
            copies += 1
            assert dump(copy) == old, "a copy is whole or not there"
        if number > kills - 3 or number % 5 == 0:
            assert await contents(path) == expected
    assert 0 < copies < kills


async def killed_before_each_statement(original: Path, folder: Path) -> int:
    """Copies of the file, 1, 2 …, each opened by a process that was killed; gives their number."""
    command = [sys.executable, "-m", "tests.outbox.older", str(original), str(folder)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await soon(process.communicate())
    assert process.returncode == 0
    return int(output.split()[-1])


async def test_operators_are_told_to_start_the_bridge(tmp_path: Path) -> None:
    """Commands that read a file of an older schema leave it as it is."""
    path = tmp_path / "state" / "outbox.db"
    older.make(path, "2", await filled(tmp_path / "today", blocking=False))
    before = dump(path)
    with pytest.raises(
        OutboxError, match=rf"older workflow-bridge \(schema 2, this one reads {SCHEMA_VERSION}\); this version's `run`"
    ):
        SqliteOutboxAdmin(path).dead_letters()
    assert dump(path) == before


async def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """With what to do, and without touching it."""
    path = await filled(tmp_path, blocking=False)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(OutboxError, match=rf"newer .* put the copy .* \(outbox.db.v{SCHEMA_VERSION}.backup\)"):
        await SqliteOutbox(SqliteSettings(path=path), clock=lambda: START_MS).open()
    assert rows(path, "PRAGMA user_version") == [(99,)]
    assert not list(path.parent.glob("*.backup"))
