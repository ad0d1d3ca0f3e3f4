-- What was tried before the upgrade counts from now on; a dead row of `later` is told from a retry.

ALTER TABLE entries ADD COLUMN waited_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE later ADD COLUMN waited_ms INTEGER NOT NULL DEFAULT 0;

UPDATE later SET hold = 3 WHERE seq IN (SELECT seq FROM blocked);

DROP INDEX later_arrived;
CREATE INDEX later_arrived ON later (arrived_ms) WHERE hold <> 3;
