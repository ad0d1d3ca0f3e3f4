-- Which instance of an id is the newest is forgotten some time after it was made: those of before count from now on.

ALTER TABLE generations ADD COLUMN made_ms INTEGER NOT NULL DEFAULT 0;
UPDATE generations SET made_ms = CAST(strftime('%s', 'now') AS INTEGER) * 1000;
CREATE INDEX generations_made ON generations (made_ms);
