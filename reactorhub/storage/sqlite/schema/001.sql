-- The ledger, version 1.
--
-- Every moment is an integer: microseconds since 1970-01-01T00:00:00Z. args, settings, tags, stats and
-- overrides are JSON. The files of this folder are run once each, in the order of their numbers, each in one
-- transaction with the change of PRAGMA user_version. A published file never changes; add the next one.

-- One row for each attempt to crawl.
CREATE TABLE runs (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of adding; never used again, so cursors stay true
    id            TEXT NOT NULL UNIQUE,
    -- what the run is meant to be
    spider        TEXT NOT NULL,
    project       TEXT NOT NULL,
    schedule      TEXT,                               -- null: ordered by hand
    nominal_time  INTEGER,
    queue         TEXT NOT NULL,
    priority      INTEGER NOT NULL,
    timeout       REAL,                               -- seconds
    stop_grace    REAL NOT NULL,                      -- seconds
    not_before    INTEGER,
    attempt       INTEGER NOT NULL,
    retry_of      TEXT,                               -- runs.id
    batch         TEXT,
    args          TEXT NOT NULL,
    settings      TEXT NOT NULL,
    tags          TEXT NOT NULL,
    -- how it stands
    created_at    INTEGER NOT NULL,                   -- never changes
    state         TEXT NOT NULL,
    reason        TEXT,
    started_at    INTEGER,
    finished_at   INTEGER,
    finish_reason TEXT,
    errors        INTEGER,
    error         TEXT,
    stats         TEXT NOT NULL
);

-- Each ends on the rowid, which is seq: one state of one spider comes out newest first without sorting. A list
-- that names no state asks for all nine of them and merges, so no index on the name alone is needed.
-- Waiting and active runs are few, and runs_by_state holds each of their states in one short stretch.
CREATE INDEX runs_by_state    ON runs (state);
CREATE INDEX runs_by_spider   ON runs (spider, state);
CREATE INDEX runs_by_project  ON runs (project, state);
CREATE INDEX runs_by_schedule ON runs (schedule, state) WHERE schedule IS NOT NULL;
CREATE INDEX runs_by_moment   ON runs (created_at);

-- How far created_at strays from the order of adding, which it does when the wall clock steps back. A list
-- bounded in time turns its bounds into bounds of seq with this, and so reads only rows near them:
-- where `newest` is the highest created_at so far, every row has created_at >= newest - backstep.
CREATE TABLE run_clock (
    newest   INTEGER NOT NULL,
    backstep INTEGER NOT NULL
);
INSERT INTO run_clock VALUES (0, 0);

CREATE TRIGGER run_moves_clock AFTER INSERT ON runs BEGIN
    UPDATE run_clock SET newest   = max(newest, NEW.created_at),
                         backstep = max(backstep, newest - NEW.created_at);
END;

-- The tags of runs once more, in the shape a list by tag needs.
CREATE TABLE run_tags (
    tag TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (tag, seq)
) WITHOUT ROWID;

CREATE TRIGGER run_gets_tags AFTER INSERT ON runs WHEN NEW.tags <> '[]' BEGIN
    INSERT OR IGNORE INTO run_tags SELECT value, NEW.seq FROM json_each(NEW.tags);
END;

CREATE TRIGGER run_changes_tags AFTER UPDATE OF tags ON runs WHEN NEW.tags <> OLD.tags BEGIN
    DELETE FROM run_tags WHERE seq = OLD.seq AND tag IN (SELECT value FROM json_each(OLD.tags));
    INSERT OR IGNORE INTO run_tags SELECT value, NEW.seq FROM json_each(NEW.tags);
END;

CREATE TRIGGER run_loses_tags AFTER DELETE ON runs WHEN OLD.tags <> '[]' BEGIN
    DELETE FROM run_tags WHERE seq = OLD.seq AND tag IN (SELECT value FROM json_each(OLD.tags));
END;

-- One row for each nominal fire time of a schedule. The key is the promise: at most one start for each.
CREATE TABLE ticks (
    schedule     TEXT NOT NULL,
    nominal_time INTEGER NOT NULL,
    outcome      TEXT NOT NULL,
    reason       TEXT,
    run_id       TEXT,       -- runs.id
    recorded_at  INTEGER NOT NULL,
    until        INTEGER,    -- set where the row stands for several missed ticks: the last one's nominal time
    PRIMARY KEY (schedule, nominal_time)
) WITHOUT ROWID;

-- What is remembered of each schedule between starts.
CREATE TABLE marks (
    name          TEXT PRIMARY KEY,
    fingerprint   TEXT NOT NULL,
    since         INTEGER NOT NULL,
    paused        INTEGER NOT NULL,
    paused_reason TEXT
) WITHOUT ROWID;

-- What operators have set at run time.
CREATE TABLE overrides (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- How many runs are in each state, and how many ticks there are, kept up to date so that nobody has to count.
CREATE TABLE counters (
    name   TEXT PRIMARY KEY,
    amount INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO counters VALUES
    ('queued', 0), ('starting', 0), ('running', 0), ('stopping', 0), ('succeeded', 0), ('failed', 0),
    ('cancelled', 0), ('timed_out', 0), ('interrupted', 0), ('ticks', 0);

CREATE TRIGGER run_is_counted AFTER INSERT ON runs BEGIN
    UPDATE counters SET amount = amount + 1 WHERE name = NEW.state;
END;

CREATE TRIGGER run_changes_state AFTER UPDATE OF state ON runs WHEN NEW.state <> OLD.state BEGIN
    UPDATE counters SET amount = amount - 1 WHERE name = OLD.state;
    UPDATE counters SET amount = amount + 1 WHERE name = NEW.state;
END;

CREATE TRIGGER run_is_discounted AFTER DELETE ON runs BEGIN
    UPDATE counters SET amount = amount - 1 WHERE name = OLD.state;
END;

CREATE TRIGGER tick_is_counted AFTER INSERT ON ticks BEGIN
    UPDATE counters SET amount = amount + 1 WHERE name = 'ticks';
END;

CREATE TRIGGER tick_is_discounted AFTER DELETE ON ticks BEGIN
    UPDATE counters SET amount = amount - 1 WHERE name = 'ticks';
END;
