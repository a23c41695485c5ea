-- Version 4: telling people.

-- What goes wrong with a schedule now: one row for each kind of incident that is open.
CREATE TABLE incidents (
    schedule TEXT NOT NULL,
    kind     TEXT NOT NULL,                    -- failed, missed, paused
    since    INTEGER NOT NULL,
    count    INTEGER NOT NULL,                 -- how often it has happened since
    PRIMARY KEY (schedule, kind)
) WITHOUT ROWID;

-- The outbox: notices on their way, and the newest of those that are delivered or given up.
CREATE TABLE notices (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of adding, which is the order of delivery
    id         TEXT NOT NULL UNIQUE,
    channel    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    schedule   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    about      TEXT NOT NULL,
    state      TEXT NOT NULL,                      -- waiting, delivered, given_up
    attempts   INTEGER NOT NULL,
    error      TEXT
);

-- Ends on seq: the oldest that waits in a channel, and the newest that are settled, are at its ends.
CREATE INDEX notices_by_channel ON notices (channel, state);
