-- Version 3: expectations, chains, batches, and schedules that run a number of times.

-- What is expected of the run, in JSON; and the run (runs.id) whose end started this one, null: none.
ALTER TABLE runs ADD COLUMN expect TEXT;
ALTER TABLE runs ADD COLUMN upstream TEXT;

-- How many ticks of the schedule have become runs since its "when" was last edited.
ALTER TABLE marks ADD COLUMN runs INTEGER NOT NULL DEFAULT 0;

-- Runs that were ordered together.
CREATE TABLE batches (
    id          TEXT PRIMARY KEY,
    created_at  INTEGER NOT NULL,
    on_complete TEXT NOT NULL,     -- JSON: what is wanted once all are final
    finished_at INTEGER,           -- null: not all of its runs are final
    completion  TEXT               -- runs.id of the run that was wanted then
) WITHOUT ROWID;

CREATE INDEX batches_under_way ON batches (finished_at) WHERE finished_at IS NULL;
CREATE INDEX runs_by_batch ON runs (batch, state) WHERE batch IS NOT NULL;
