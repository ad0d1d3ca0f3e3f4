-- Operators work through the process that has the file: what one of an older version wrote down for it is not done.

DROP TABLE wishes;

CREATE TABLE pauses (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    who TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
);

ALTER TABLE dead_letters ADD COLUMN redriven INTEGER NOT NULL DEFAULT 0;
CREATE INDEX dead_letters_kinds ON dead_letters (rule, reason, source);

INSERT INTO meta SELECT 'dead_bytes', coalesce(sum(
    coalesce(length(message_key), 0) + coalesce(length(message_body), 0) + length(message_rest)
    + coalesce(length(history), 0) + coalesce(length(body), 0)
), 0) FROM dead_letters;
