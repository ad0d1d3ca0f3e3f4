"""Brings an outbox file of an older schema up to date: a copy beside it first, then all steps as one transaction.

A kill at any moment leaves the file as it was or as it is to be; the copy has its name only when it is whole.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import structlog

from bridge.outbox.sql import SCHEMA_VERSION, migration

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

log = structlog.get_logger(__name__)

# Version 1 had several states; the columns that the first ones lack: table, column, what it is.
_ADDED_TO_1 = (
    ("entries", "history", "BLOB"),
    ("later", "history", "BLOB"),
    ("dead_letters", "config", "TEXT NOT NULL DEFAULT ''"),
    ("dead_letters", "history", "BLOB"),
)


def copy_of(path: Path, version: int) -> Path:
    """Where the file as it was with that schema is kept."""
    return path.with_name(f"{path.name}.v{version}.backup")


def migrate(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """From ``version``, which is older, to SCHEMA_VERSION. The caller owns the file, and the connection is durable.

    Raises sqlite3.Error or OSError where it cannot be done; the file is as it was then.
    """
    copy = copy_of(path, version)
    log.info("outbox_migration_began", path=str(path), schema=version, bytes=path.stat().st_size)
    _back_up(connection, copy)
    steps = [migration(number) for number in range(version + 1, SCHEMA_VERSION + 1)]
    added = _missing_columns(connection) if version == 1 else []
    script = ["BEGIN IMMEDIATE;", *added, *steps, f"PRAGMA user_version = {SCHEMA_VERSION};", "COMMIT;"]
    try:
        connection.executescript("\n".join(script))
    finally:
        if connection.in_transaction:
            connection.rollback()
    log.info("outbox_migrated", path=str(path), schema=SCHEMA_VERSION, backup=str(copy))


def _back_up(connection: sqlite3.Connection, copy: Path) -> None:
    """All that is in the file now, for this user only and on disk; instead of a copy that an earlier try made."""
    part = copy.with_name(copy.name + ".part")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        connection.execute("VACUUM INTO ?", (str(part),))  # into the empty file, which keeps its mode
        os.fsync(fd)
        part.replace(copy)
    finally:
        os.close(fd)
        part.unlink(missing_ok=True)
    folder = os.open(copy.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _missing_columns(connection: sqlite3.Connection) -> list[str]:
    there = {
        (table, column)
        for table in {table for table, _, _ in _ADDED_TO_1}
        for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    }
    return [
        f"ALTER TABLE {table} ADD COLUMN {column} {what};"
        for table, column, what in _ADDED_TO_1
        if (table, column) not in there
    ]
