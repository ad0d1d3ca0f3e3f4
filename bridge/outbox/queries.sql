-- Named queries; sql.py reads them. {entry} is the columns an Entry is made of, {row} those and the
-- original's, {insert} the latter as they are inserted, {dead} those of a dead letter, {chosen} which of these are asked
-- for, {dead_bytes} what one weighs.
-- Lists of numbers come as one JSON array: json_each costs what an IN list does, and the text stays the same.

-- name: queues
SELECT number, target, workflow, last_seq, ready FROM queues

-- name: insert_queue
INSERT INTO queues (number, target, workflow, last_seq, ready) VALUES (?, ?, ?, ?, 0)

-- name: update_queue
UPDATE queues SET last_seq = ?, ready = ? WHERE number = ?

-- name: meta
SELECT name, value FROM meta

-- name: update_meta
UPDATE meta SET value = ? WHERE name = ?

-- name: insert_delayed
INSERT INTO later ({insert}, attempts, queue, lane_key, due_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
    0, ?1 >> 44, CASE ?5 WHEN '' THEN ?3 ELSE ?5 END, ?6)

-- name: shapes
SELECT * FROM shapes

-- name: insert_shape
INSERT INTO shapes VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: shapes_used
SELECT shape FROM entries UNION SELECT shape FROM later

-- name: delete_shape
DELETE FROM shapes WHERE number = ?

-- name: insert_original
INSERT INTO originals (number, refs, message_key, message_body, message_rest) VALUES (?, ?, ?, ?, ?)

-- name: last_original
SELECT coalesce(max(number), 0) FROM originals

-- name: pending
SELECT {entry} FROM entries WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?

-- name: ready_between
SELECT 1 FROM entries WHERE seq > ? AND seq < ? LIMIT 1

-- name: oldest_ready
SELECT arrived_ms FROM entries WHERE seq > ? AND seq < ? ORDER BY seq LIMIT 1

-- name: oldest_later
SELECT arrived_ms FROM later WHERE hold <> 3 ORDER BY arrived_ms LIMIT 1

-- name: oldest_parked
SELECT arrived_ms FROM later WHERE hold = 1 AND given = 0 ORDER BY arrived_ms LIMIT 1

-- name: insert_blocked
INSERT INTO blocked (seq, dead_letter) VALUES (?, ?)

-- name: delete_blocked
DELETE FROM blocked WHERE dead_letter = ? RETURNING seq

-- name: delete_dead_letter
DELETE FROM dead_letters WHERE number = ? RETURNING {dead_bytes}

-- name: expire_dead_letters
DELETE FROM dead_letters WHERE number IN (
    SELECT number FROM (SELECT number, died_ms FROM dead_letters
        WHERE number NOT IN (SELECT dead_letter FROM blocked) ORDER BY number LIMIT ?)
    WHERE died_ms < ?)
RETURNING {dead_bytes}

-- name: blocked_by
SELECT seq, queue, lane_key FROM blocked JOIN later USING (seq) WHERE dead_letter = ?

-- name: delete_range
DELETE FROM entries WHERE seq BETWEEN ? AND ?

-- name: delete_entries
DELETE FROM entries WHERE seq IN (SELECT value FROM json_each(?))

-- name: delete_later
DELETE FROM later WHERE seq IN (SELECT value FROM json_each(?)) RETURNING queue, lane_key, given, hold

-- name: delete_later_one
DELETE FROM later WHERE seq = ? RETURNING hold

-- name: among_entries
SELECT seq, history FROM entries WHERE seq IN (SELECT value FROM json_each(?))

-- name: among_later
SELECT seq, history, queue, lane_key, given, hold FROM later WHERE seq IN (SELECT value FROM json_each(?))

-- name: entry_to_later
INSERT INTO later ({row}, queue, lane_key, kind)
SELECT {row}, seq >> 44, CASE lane WHEN '' THEN instance_id ELSE lane END, ? FROM entries WHERE seq = ?

-- name: delete_entry
DELETE FROM entries WHERE seq = ?

-- name: later_to_entry
INSERT INTO entries ({row}) SELECT {row} FROM later WHERE seq = ?

-- name: settle_later
UPDATE later SET attempts = attempts + ?, waited_ms = waited_ms + ?, due_ms = ?, hold = ?, kind = ?, given = 0, history = ?
WHERE seq = ?

-- name: hold_back
UPDATE later SET kind = ?, due_ms = NULL WHERE seq = ?

-- name: give
UPDATE later SET given = 1, due_ms = NULL, kind = CASE hold WHEN 2 THEN 1 WHEN 1 THEN 2 END WHERE seq = ?

-- name: release
UPDATE later SET kind = 3, due_ms = ? WHERE seq IN (
    SELECT seq FROM later WHERE queue = ? AND lane_key = ? AND kind = ? AND seq < ? ORDER BY seq LIMIT ?)

-- name: unpark
UPDATE later SET waited_ms = max(0, waited_ms - max(0, due_ms - ?1)), due_ms = ?1
WHERE kind = 2 AND given = 0 AND due_ms <> ?5 AND instance_id IN (SELECT value FROM json_each(?4))
AND shape IN (SELECT number FROM shapes WHERE target = ?2 AND workflow = ?3)

-- name: recall
UPDATE later SET due_ms = ?1 WHERE seq IN (
    SELECT seq FROM later WHERE due_ms = ?2 AND shape NOT IN (SELECT value FROM json_each(?3)) LIMIT ?4)

-- name: later_reached
SELECT max(seq) FROM (SELECT seq FROM later WHERE seq > ? ORDER BY seq LIMIT ?)

-- name: clock_set
UPDATE later SET due_ms = max(due_ms + ?1, 0) WHERE seq > ?2 AND seq <= ?3 AND due_ms IS NOT NULL AND due_ms < ?4
AND CASE kind WHEN 3 THEN ?1 < 0 ELSE hold IN (1, 2) END

-- name: is_parked
SELECT 1 FROM json_each(?1)
WHERE EXISTS (SELECT 1 FROM later WHERE instance_id = value AND kind = 2 AND given = 0 AND due_ms <> ?2) LIMIT 1

-- name: due
SELECT {entry}, hold, lane_key FROM later WHERE due_ms <= ? ORDER BY due_ms, seq LIMIT ?

-- name: fetch
SELECT {entry}, hold, lane_key FROM later
WHERE due_ms = ? AND seq > ? AND seq < ? AND shape NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?

-- name: is_away
SELECT 1 FROM later WHERE due_ms = ? AND seq > ? AND seq < ? LIMIT 1

-- name: next_due
SELECT due_ms FROM later WHERE due_ms IS NOT NULL ORDER BY due_ms LIMIT 1

-- name: held
SELECT 1 FROM later WHERE queue = ? AND kind IS NOT NULL LIMIT 1

-- name: heads
SELECT
    (SELECT seq FROM later WHERE queue = ?1 AND lane_key = ?2 AND kind = 1 ORDER BY seq LIMIT 1),
    (SELECT seq FROM later WHERE queue = ?1 AND lane_key = ?2 AND kind = 2 ORDER BY seq LIMIT 1),
    (SELECT seq FROM later WHERE queue = ?1 AND lane_key = ?2 AND kind = 3 ORDER BY seq LIMIT 1),
    (SELECT seq FROM later WHERE queue = ?1 AND lane_key = ?2 AND kind = 4 ORDER BY seq LIMIT 1),
    (SELECT seq FROM later WHERE queue = ?1 AND lane_key = ?2 AND kind = 5 ORDER BY seq LIMIT 1)

-- name: lanes_held
SELECT value FROM json_each(?2)
WHERE EXISTS (SELECT 1 FROM later WHERE queue = ?1 AND lane_key = value AND kind IS NOT NULL)

-- name: parked
SELECT count(*) FROM later WHERE hold = 1 AND given = 0

-- name: reopen_given
UPDATE later SET given = 0, due_ms = 0, kind = coalesce(kind, 3) WHERE given = 1

-- name: shared_entries
SELECT original, count(*) FROM entries WHERE seq IN (SELECT value FROM json_each(?)) GROUP BY original

-- name: shared_later
SELECT original, count(*) FROM later WHERE seq IN (SELECT value FROM json_each(?)) GROUP BY original

-- name: unshare
UPDATE originals SET refs = refs - ? WHERE number = ?

-- name: delete_originals
DELETE FROM originals WHERE refs <= 0 AND number IN (SELECT value FROM json_each(?))

-- name: renewed
SELECT DISTINCT target, workflow FROM generations

-- name: newest
SELECT newest FROM generations WHERE target = ? AND workflow = ? AND instance_id = ?

-- name: store_newest
INSERT OR REPLACE INTO generations (target, workflow, instance_id, newest, made_ms) VALUES (?, ?, ?, ?, ?)

-- name: forget_newest
DELETE FROM generations WHERE target = ? AND workflow = ? AND instance_id = ?

-- name: oldest_newest
SELECT made_ms FROM generations ORDER BY made_ms LIMIT 1

-- name: prune_newest
DELETE FROM generations WHERE (target, workflow, instance_id) IN (
    SELECT target, workflow, instance_id FROM generations WHERE made_ms < ? ORDER BY made_ms LIMIT ?)

-- name: whole_entry
SELECT {row} FROM entries WHERE seq = ?

-- name: whole_later
SELECT {row} FROM later WHERE seq = ?

-- name: original
SELECT message_key, message_body, message_rest FROM originals WHERE number = ?

-- name: insert_dead_letter
INSERT INTO dead_letters ({dead})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: replace_dead_letter
INSERT OR REPLACE INTO dead_letters (number, {dead})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: dead_letters
SELECT number, {dead} FROM dead_letters WHERE number > :after AND {chosen} ORDER BY number LIMIT :limit

-- name: newest_dead_letters
SELECT number, {dead} FROM dead_letters WHERE number < :before AND {chosen} ORDER BY number DESC LIMIT :limit

-- name: dead_letter_numbers
SELECT number FROM dead_letters WHERE number > :after AND {chosen} ORDER BY number LIMIT :limit

-- name: dead_letter_kinds
SELECT rule, reason, source, count(*) FROM dead_letters WHERE {chosen} GROUP BY rule, reason, source
ORDER BY count(*) DESC, rule, reason, source

-- name: dead_letter
SELECT number, {dead} FROM dead_letters WHERE number = ?

-- name: revive
UPDATE later SET shape = ?, body = ?, not_before_ms = ?, original = NULL, message_key = ?, message_body = ?,
    body_size = NULL, message_rest = ?, attempts = 0, waited_ms = 0, history = NULL, hold = 2, due_ms = ?
WHERE seq = ? RETURNING queue

-- name: pauses
SELECT kind, name, reason, who, since_ms FROM pauses ORDER BY kind, name

-- name: store_pause
INSERT OR REPLACE INTO pauses (kind, name, reason, who, since_ms) VALUES (?, ?, ?, ?, ?)

-- name: delete_pause
DELETE FROM pauses WHERE kind = ? AND name = ?

-- name: insert_audit
INSERT INTO audit (at_ms, who, what, subject, detail) VALUES (?, ?, ?, ?, ?)

-- name: forget_audit
DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?

-- name: audit
SELECT number, at_ms, who, what, subject, detail FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?

-- name: position
SELECT last_offset, timestamp_ms, committed FROM positions WHERE source = ? AND partition = ?

-- name: store_position
INSERT INTO positions (source, partition, last_offset, timestamp_ms) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET last_offset = excluded.last_offset, timestamp_ms = excluded.timestamp_ms

-- name: store_committed
INSERT INTO positions (source, partition, committed) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET committed = excluded.committed

-- name: reset_position
INSERT OR REPLACE INTO positions (source, partition, committed) VALUES (?, ?, ?)

-- name: seen_sources
SELECT number, source, (SELECT max(key) FROM seen WHERE key > number << 44 AND key < (number + 1) << 44)
FROM seen_sources

-- name: insert_seen_source
INSERT INTO seen_sources (number, source) VALUES (?, ?)

-- name: was_seen
SELECT 1 FROM seen WHERE source = ? AND message_id = ?

-- name: insert_seen
INSERT OR IGNORE INTO seen (key, source, message_id) VALUES (?, ?, ?)

-- name: forget_seen
DELETE FROM seen WHERE key > ? AND key <= ?

-- name: notes
SELECT name, value FROM notes

-- name: store_note
INSERT OR REPLACE INTO notes (name, value) VALUES (?, ?)

-- name: insert_ledger
INSERT INTO ledger (number, rows, first_ms, last_ms, rules, keys, content) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: newest_ledger
SELECT number, rows FROM ledger ORDER BY number DESC LIMIT ?

-- name: take_ledger
DELETE FROM ledger WHERE number >= ? RETURNING number, content, {ledger_bytes}

-- name: oldest_ledger
SELECT last_ms FROM ledger ORDER BY last_ms LIMIT 1

-- name: prune_ledger
DELETE FROM ledger WHERE number IN (SELECT number FROM ledger WHERE last_ms < ? ORDER BY last_ms LIMIT ?)
RETURNING number, {ledger_bytes}

-- name: prune_oldest_ledger
DELETE FROM ledger WHERE number IN (SELECT number FROM ledger ORDER BY number LIMIT ?)
RETURNING number, {ledger_bytes}

-- name: ledger
SELECT number, content FROM ledger
WHERE number < :before
AND number >= CASE WHEN :since_ms IS NULL THEN 0
    ELSE coalesce((SELECT min(number) FROM ledger WHERE last_ms >= :since_ms), :before) END
AND (:until_ms IS NULL OR first_ms < :until_ms) AND (:rule IS NULL OR instr(rules, :rule))
AND (:message IS NULL OR instr(keys, :message)) AND (:instance IS NULL OR instr(keys, :instance))
ORDER BY number DESC

-- name: originals
SELECT seq, coalesce(e.message_body, o.message_body), body_size, coalesce(e.message_rest, o.message_rest)
FROM entries e LEFT JOIN originals o ON o.number = e.original WHERE seq IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT seq, coalesce(e.message_body, o.message_body), body_size, coalesce(e.message_rest, o.message_rest)
FROM later e LEFT JOIN originals o ON o.number = e.original WHERE seq IN (SELECT value FROM json_each(?1))
