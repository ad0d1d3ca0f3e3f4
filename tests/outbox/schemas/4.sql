-- The outbox file, schema version 4. migrations/ has what made it of the versions before.
--
-- entries   what is ready, read and settled in order of its key; no secondary index.
--           seq = queue number << 44 | counter of the queue << 1 | 1 where the original lies in `originals`.
-- later     what is not ready: retries, parked, delayed, and what a lane holds back.
--           due_ms: when `due` may give the row; NULL: not by time. given: 1 once `due` gave it.
--           hold: the last verdict (0 none, 1 PARK, 2 RETRY, 3 DEAD). kind: what the row does to its lane (lanes.py), NULL nothing.
-- The original message of an entry is in its own row, or once in `originals` where it became several calls.
-- history: the attempts made (history.py), NULL for none.
-- waited_ms: for how long the call was tried (Entry.waited_ms), up to due_ms where it waits until then.
-- body_size: the message's body is these last bytes of the call's body, before its closing brace.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('dead', 0), ('later', 0), ('parked', 0), ('blocked', 0);

-- What parts of the bridge want to know again after a restart, such as the state of a token's quota.
CREATE TABLE notes (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE queues (
    number INTEGER PRIMARY KEY,
    target TEXT NOT NULL,
    workflow TEXT NOT NULL,
    last_seq INTEGER NOT NULL,
    ready INTEGER NOT NULL,
    UNIQUE (target, workflow)
);

-- What calls of one rule have in common; kept apart because it is half of a row.
CREATE TABLE shapes (
    number INTEGER PRIMARY KEY,
    operation TEXT NOT NULL,
    target TEXT NOT NULL,
    workflow TEXT NOT NULL,
    event_type TEXT NOT NULL,
    policy TEXT NOT NULL,
    priority INTEGER NOT NULL,
    source TEXT NOT NULL
);

CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    shape INTEGER NOT NULL,
    instance_id TEXT NOT NULL,
    body BLOB NOT NULL,
    lane TEXT NOT NULL,
    not_before_ms INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    arrived_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    original INTEGER,
    message_key BLOB,
    message_body BLOB,
    body_size INTEGER,
    message_rest BLOB,
    history BLOB,
    waited_ms INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE later (
    seq INTEGER PRIMARY KEY,
    shape INTEGER NOT NULL,
    instance_id TEXT NOT NULL,
    body BLOB NOT NULL,
    lane TEXT NOT NULL,
    not_before_ms INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    arrived_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    original INTEGER,
    message_key BLOB,
    message_body BLOB,
    body_size INTEGER,
    message_rest BLOB,
    history BLOB,
    queue INTEGER NOT NULL,
    lane_key TEXT NOT NULL,
    due_ms INTEGER,
    given INTEGER NOT NULL DEFAULT 0,
    hold INTEGER NOT NULL DEFAULT 0,
    kind INTEGER,
    waited_ms INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX later_due ON later (due_ms, seq) WHERE due_ms IS NOT NULL;
CREATE INDEX later_lane ON later (queue, lane_key, kind, seq) WHERE kind IS NOT NULL;
CREATE INDEX later_instance ON later (instance_id) WHERE kind = 2; -- who is parked for it
CREATE INDEX later_given ON later (seq) WHERE given = 1;
CREATE INDEX later_arrived ON later (arrived_ms) WHERE hold <> 3;
CREATE INDEX later_parked ON later (arrived_ms) WHERE hold = 1 AND given = 0;

-- Rows of `later` that are dead and hold their lanes until somebody has seen to their dead letters.
CREATE TABLE blocked (
    seq INTEGER PRIMARY KEY,
    dead_letter INTEGER NOT NULL UNIQUE
);

-- What operators want done with dead letters (release, discard); the process that owns the file does it.
CREATE TABLE wishes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    dead_letter INTEGER NOT NULL,
    what TEXT NOT NULL
);

CREATE TABLE originals (
    number INTEGER PRIMARY KEY,
    refs INTEGER NOT NULL,
    message_key BLOB,
    message_body BLOB,
    message_rest BLOB NOT NULL
);

-- Under which id the newest instance was made of an id that was used (`if_exists: new`).
CREATE TABLE generations (
    target TEXT NOT NULL,
    workflow TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    newest TEXT NOT NULL,
    PRIMARY KEY (target, workflow, instance_id)
) WITHOUT ROWID;

-- The last stored message of each partition (last_offset), and what the broker was last told (committed: the next offset).
CREATE TABLE positions (
    source TEXT NOT NULL,
    partition TEXT NOT NULL,
    last_offset INTEGER,
    timestamp_ms INTEGER,
    committed INTEGER,
    PRIMARY KEY (source, partition)
) WITHOUT ROWID;

-- Message ids of sources without positions, the newest of each; key = number of the source << 44 | counter.
CREATE TABLE seen_sources (
    number INTEGER PRIMARY KEY,
    source TEXT NOT NULL UNIQUE
);
CREATE TABLE seen (
    key INTEGER PRIMARY KEY,
    source INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    UNIQUE (source, message_id)
);

CREATE TABLE dead_letters (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    message_id TEXT NOT NULL,
    message_key BLOB,
    message_body BLOB,
    message_rest BLOB NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    rule TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    died_ms INTEGER NOT NULL,
    config TEXT NOT NULL,
    history BLOB,
    operation TEXT, -- NULL, and so are those below: no call was rendered
    target TEXT,
    workflow TEXT,
    instance_id TEXT,
    event_type TEXT,
    body BLOB,
    policy TEXT,
    lane TEXT,
    priority INTEGER,
    not_before_ms INTEGER
);

-- Which message started what; nothing writes it yet.
CREATE TABLE ledger (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    settled_ms INTEGER NOT NULL,
    source TEXT NOT NULL,
    message_id TEXT NOT NULL,
    rule TEXT NOT NULL,
    target TEXT NOT NULL,
    workflow TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL
);
