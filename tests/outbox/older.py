"""Outbox files of older schemas: what is in them is written by the bridge, and copied into tables of that time.

``python -m tests.outbox.older FILE FOLDER`` opens copies of such a file as the bridge does, FOLDER/1/outbox.db, 2, 3 …:
number N by a process that kills itself with SIGKILL before statement N of what SQLite is asked to do. It ends with the
first one that is opened to the end, and prints the number of those that were not.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bridge.outbox.file import connect

SCHEMAS = Path(__file__).parent / "schemas"


def make(path: Path, schema: str, filled: Path) -> None:
    """A file of that schema ("1-first", "1" …) with what a file of today's has, as far as it had a place for it."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("PRAGMA journal_mode = WAL")
        old.executescript((SCHEMAS / f"{schema}.sql").read_text() + f"PRAGMA user_version = {schema[0]};")
        old.execute("ATTACH ? AS filled", (str(filled),))
        for table in set(tables(old)) - ({"ledger"} if schema < "6" else set()):  # nothing wrote that before
            names = ", ".join(columns(old, table) & columns(old, table, "filled"))
            if names:
                old.execute(f"INSERT OR REPLACE INTO {table} ({names}) SELECT {names} FROM filled.{table}")  # noqa: S608
        if schema < "6":  # older files do not know it
            old.execute("DELETE FROM meta WHERE name = 'ledger_bytes'")
        if schema < "5":  # nor these that one
            old.execute("DELETE FROM meta WHERE name = 'dead_bytes'")
            old.execute("UPDATE later SET hold = 2 WHERE hold = 3")


def tables(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return [name for (name,) in connection.execute(query)]


def columns(connection: sqlite3.Connection, table: str, schema: str = "main") -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?, ?)", (table, schema))}


def open_and_kill(path: Path, kill_at: int) -> None:
    """Open the file; SQLite tells of each statement before it runs it."""
    asked = 0

    def count(_statement: str) -> None:
        nonlocal asked
        asked += 1
        if asked == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    plain = sqlite3.connect

    def traced(*given: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = plain(*given, **more)
        connection.set_trace_callback(count)
        return connection

    with patch.object(sqlite3, "connect", traced):
        connect(path).close()


def main() -> None:
    original, folder, kills = Path(sys.argv[1]), Path(sys.argv[2]), 0
    while True:
        path = folder / str(kills + 1) / original.name
        shutil.copytree(original.parent, path.parent)
        child = os.fork()
        if not child:
            open_and_kill(path, kills + 1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        kills += 1
    sys.stdout.write(f"{kills}\n")
    raise SystemExit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
