"""The SQL of the SQLite outbox, read from the files beside this module."""

from __future__ import annotations

from importlib.resources import files

CALL_COLUMNS = "seq, shape, instance_id, body, lane, not_before_ms, message_id, timestamp_ms, arrived_ms"
ENTRY_COLUMNS = f"{CALL_COLUMNS}, attempts, waited_ms"
ORIGINAL_COLUMNS = "original, message_key, message_body, body_size, message_rest"
INSERT_COLUMNS = f"{CALL_COLUMNS}, {ORIGINAL_COLUMNS}"
DEAD_COLUMNS = (
    "source, message_id, message_key, message_body, message_rest, reason, detail, rule, attempts, died_ms, config, "
    "history, redriven, operation, target, workflow, instance_id, event_type, body, policy, lane, priority, "
    "not_before_ms"
)
# What a dead letter weighs: its blobs, as dead_rows.weight counts them.
DEAD_BYTES = " + ".join(
    f"coalesce(length({name}), 0)" for name in ("message_key", "message_body", "message_rest", "history", "body")
)
# What a chunk of the ledger weighs, as Packed.weight counts it.
LEDGER_BYTES = "length(keys) + length(content)"
INSERTED_AT_ONCE = 500  # rows of one INSERT: each statement gives up the interpreter lock and has to win it back


# Which dead letters a DeadLetterFilter chooses; what is not asked for is NULL.
CHOSEN = """\
(:rule IS NULL OR rule = :rule) AND (:reason IS NULL OR reason = :reason) AND (:source IS NULL OR source = :source)
AND (:since_ms IS NULL OR died_ms >= :since_ms) AND (:until_ms IS NULL OR died_ms < :until_ms)
AND (:text IS NULL OR instr(lower(detail), :text) OR instr(lower(message_id), :text)
    OR instr(lower(coalesce(instance_id, '')), :text) OR instr(message_body, :bytes) OR instr(body, :bytes)
    OR instr(message_key, :bytes) OR instr(message_rest, :bytes))"""


def _read(name: str) -> str:
    return files("bridge.outbox").joinpath(name).read_text(encoding="utf-8")


def migration(version: int) -> str:
    """The statements that make this version of the one before it."""
    return _read(f"migrations/to_{version}.sql")


def _named(text: str) -> dict[str, str]:
    blocks = text.split("-- name: ")[1:]
    named = (block.partition("\n") for block in blocks)
    return {
        name.strip(): query.strip()
        .replace("{entry}", ENTRY_COLUMNS)
        .replace("{row}", f"{ENTRY_COLUMNS}, {ORIGINAL_COLUMNS}, history")
        .replace("{insert}", INSERT_COLUMNS)
        .replace("{dead}", DEAD_COLUMNS)
        .replace("{dead_bytes}", DEAD_BYTES)
        .replace("{chosen}", CHOSEN)
        .replace("{ledger_bytes}", LEDGER_BYTES)
        for name, _, query in named
    }


SCHEMA = _read("schema.sql")
SCHEMA_VERSION = 7  # one more whenever schema.sql changes, with a step in migrations/
QUERIES = _named(_read("queries.sql"))

_ONE_ROW = f"({', '.join('?' * len(INSERT_COLUMNS.split(', ')))})"
INSERT_ENTRY = f"INSERT INTO entries ({INSERT_COLUMNS}) VALUES {_ONE_ROW}"  # noqa: S608  of constants # nosec B608
INSERT_ENTRIES = INSERT_ENTRY + f", {_ONE_ROW}" * (INSERTED_AT_ONCE - 1)
