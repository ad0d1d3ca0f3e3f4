-- From version 1, of which there were several: what the last of them had, where it is not there yet.
-- The columns that some of them lack are added first, see migrating.py.

INSERT OR IGNORE INTO meta VALUES ('dead', 0), ('later', 0), ('parked', 0), ('blocked', 0);

CREATE TABLE IF NOT EXISTS notes (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS blocked (
    seq INTEGER PRIMARY KEY,
    dead_letter INTEGER NOT NULL UNIQUE
);

CREATE TABLE IF NOT EXISTS wishes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    dead_letter INTEGER NOT NULL,
    what TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS generations (
    target TEXT NOT NULL,
    workflow TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    newest TEXT NOT NULL,
    PRIMARY KEY (target, workflow, instance_id)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS later_parked ON later (arrived_ms) WHERE hold = 1 AND given = 0;
