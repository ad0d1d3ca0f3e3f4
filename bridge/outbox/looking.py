"""A look at the outbox file as it is opened; however large the file is, it takes no longer than a second."""

from __future__ import annotations

import sqlite3
from threading import Timer

import structlog

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0  # a start takes two at most, with a million entries too; some 0.5 to 1 GiB are read in it


def look(connection: sqlite3.Connection) -> str:
    """What is wrong with the structure of the file; "" where nothing is, or nothing was found in time."""
    limit = Timer(LOOK_SECONDS, connection.interrupt)
    limit.start()
    try:
        found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        log.info("outbox_checked_in_part", seconds=LOOK_SECONDS)
        return ""
    finally:
        limit.cancel()
        limit.join()  # an interrupt that comes late would end somebody else's statement
    return "" if found == "ok" else " ".join(found.split())
