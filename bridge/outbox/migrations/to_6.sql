-- The ledger is kept in chunks; nothing was written to it before.

DROP TABLE ledger;

CREATE TABLE ledger (
    number INTEGER PRIMARY KEY,
    rows INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    rules TEXT NOT NULL,
    keys BLOB NOT NULL,
    content BLOB NOT NULL
);
CREATE INDEX ledger_times ON ledger (last_ms);

INSERT INTO meta VALUES ('ledger_bytes', 0);
