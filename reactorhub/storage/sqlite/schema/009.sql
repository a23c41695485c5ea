-- Version 9: runs with a key, so that an order that arrives twice starts one run.

-- The key of the order, such as 'inbox:order-17'. NULL: the order had none.
ALTER TABLE runs ADD COLUMN key TEXT;

-- 1 while the run may not start, because the sender of its order may still give it to another hub.
ALTER TABLE runs ADD COLUMN held INTEGER;

CREATE UNIQUE INDEX runs_by_key ON runs (key) WHERE key IS NOT NULL;

-- The keys of deleted runs. A key stays taken for 7 days after its run was created.
CREATE TABLE spent_keys (
    key        TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL                 -- of the run
) WITHOUT ROWID;

CREATE INDEX spent_keys_by_age ON spent_keys (created_at);

-- 604800000000 microseconds are 7 days. The newest run tells the time: SQL here reads no clock.
CREATE TRIGGER run_leaves_key AFTER DELETE ON runs
WHEN OLD.key IS NOT NULL AND OLD.created_at > (SELECT newest FROM run_clock) - 604800000000 BEGIN
    INSERT OR REPLACE INTO spent_keys VALUES (OLD.key, OLD.created_at);
END;

CREATE TRIGGER run_forgets_keys AFTER INSERT ON runs WHEN NEW.key IS NOT NULL BEGIN
    DELETE FROM spent_keys WHERE created_at <= NEW.created_at - 604800000000;
END;
