"""The file of the SQLite outbox: whose it is, who may read it, and whether it can be trusted."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from bridge.errors import OutboxDamaged, OutboxError, OutboxLocked
from bridge.outbox.looking import look
from bridge.outbox.migrating import copy_of, migrate
from bridge.outbox.sql import SCHEMA, SCHEMA_VERSION

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger(__name__)

_STATEMENTS = 256  # prepared statements kept per connection: all of ours
_WAL_KEPT_BYTES = 64 * 1024 * 1024  # the log is cut back to this after a burst
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_WORK_AGAIN_LATER = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PROTOCOL,
)


def is_transient(error: BaseException) -> bool:
    """Whether the same statement may succeed later: full disk, input or output error, busy, out of memory."""
    if isinstance(error, MemoryError):  # what Python makes of SQLITE_NOMEM
        return True
    return isinstance(error, sqlite3.Error) and _primary_code(error) in _WORK_AGAIN_LATER


def is_corrupt(error: BaseException) -> bool:
    """Whether the file itself is damaged."""
    return isinstance(error, sqlite3.Error) and _primary_code(error) in _CORRUPT


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def corrupt(path: Path, detail: object) -> OutboxDamaged:
    """What the operator is told about a damaged file."""
    return OutboxDamaged(
        f"the outbox file {path} is damaged ({detail}); it was left as it is. Move it and its -wal and -shm files away "
        "and restore a copy, or recover what can be read with `sqlite3 FILE .recover`; starting without it sends "
        "nothing that only it held"
    )


class FileLock:
    """Exclusive ownership of an outbox, for as long as the process holds ``<path>.lock`` open."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._fd = -1

    def acquire(self) -> None:
        """Raises OutboxLocked at once when another process has it."""
        fd = _open_private(self._path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if not isinstance(error, BlockingIOError):
                raise OutboxError(f"{self._path} cannot be locked: {error.strerror}") from error
            raise OutboxLocked(
                f"another process works on the outbox {self._path.with_suffix('')}; stop it first, or give this one a "
                "file of its own"
            ) from error
        self._fd = fd

    def release(self) -> None:
        """Let the next process in."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def prepare(path: Path) -> None:
    """Make folder and file, for this user only. Raises OutboxError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutboxError(f"the folder {path.parent} cannot be made: {error.strerror}") from error
    mode = path.parent.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        # Not refused: a volume of Kubernetes is such a folder, and only its Pod sees it.
        log.warning("outbox_folder_open_to_all", path=str(path.parent), mode=oct(stat.S_IMODE(mode)))
    os.close(_open_private(path))


def _open_private(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        if path.is_symlink():
            raise OutboxError(f"{path} is a symbolic link; name the file that it points to") from error
        raise OutboxError(f"{path} cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OutboxError(f"{path} is not a regular file")
    try:
        os.fchmod(fd, 0o600)
    except OSError as error:
        os.close(fd)
        raise OutboxError(f"{path} may be read by others, and belongs to another user: {error.strerror}") from error
    return fd


def connect(path: Path) -> sqlite3.Connection:
    """The connection that writes: checked, of our schema (an older one is migrated), durable. Raises OutboxError."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS)
    try:
        _check(connection, path)
        _configure(connection, path)
        version = _version(connection)
        if version == 0:
            _create(connection)
        elif version < SCHEMA_VERSION:
            _migrate(connection, path, version)
    except sqlite3.Error as error:
        connection.close()
        if is_transient(error):
            raise OutboxError(f"the outbox file {path} cannot be used now: {error}") from error
        raise corrupt(path, error) from error
    except OutboxError:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, beside the one that does."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _migrate(connection: sqlite3.Connection, path: Path, version: int) -> None:
    try:
        migrate(connection, path, version)
    except (sqlite3.Error, OSError) as error:
        if is_corrupt(error):
            raise
        needed = (path.stat().st_size >> 20) + 1
        raise OutboxError(
            f"the outbox file {path} could not be migrated from schema {version} to {SCHEMA_VERSION}: {error}. It was "
            f"left as it is. The folder needs room for a copy ({copy_of(path, version).name}), some {needed} MiB; make "
            "room and start again, or run the version that wrote it"
        ) from error


def check_version(connection: sqlite3.Connection, path: Path, *, migrates: bool = False) -> None:
    """Raises OutboxError unless the file is an outbox that this version can read, or that the caller will migrate."""
    version = _version(connection)
    if version > SCHEMA_VERSION:
        raise OutboxError(
            f"the outbox file {path} was written by a newer workflow-bridge (schema {version}, this one knows "
            f"{SCHEMA_VERSION}) and was left as it is; run that version, or move the file and its -wal and -shm files "
            f"away and put the copy that it made before the upgrade ({copy_of(path, SCHEMA_VERSION).name}) in their "
            "place: what came since is then not sent"
        )
    if 0 < version < SCHEMA_VERSION and not migrates:
        raise OutboxError(
            f"the outbox file {path} was written by an older workflow-bridge (schema {version}, this one reads "
            f"{SCHEMA_VERSION}); this version's `run` migrates it when it starts, and keeps a copy"
        )
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        raise OutboxError(f"{path} is an SQLite file, but no outbox; give the outbox a file of its own")


def on_disk(path: Path) -> int:
    """Bytes of the file and of SQLite's log beside it; 0 where there is none."""
    size = 0
    for file in (path, path.with_name(path.name + "-wal")):
        with suppress(OSError):
            size += file.stat().st_size
    return size


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _check(connection: sqlite3.Connection, path: Path) -> None:
    check_version(connection, path, migrates=True)
    if found := look(connection):
        raise corrupt(path, found)


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise OutboxError(f"the disk of {path} has no shared memory for SQLite's log; use a local disk")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")


def _create(connection: sqlite3.Connection) -> None:
    connection.executescript(f"BEGIN IMMEDIATE;\n{SCHEMA}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;")
