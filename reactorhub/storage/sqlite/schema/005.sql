-- Version 5: retention. What is old is found without reading what is not.

-- By when they ended, for runs go in that order. Runs that are not final have no place here.
CREATE INDEX runs_by_end ON runs (finished_at) WHERE finished_at IS NOT NULL;

-- The ticks that no run was made of; the others go with their runs.
CREATE INDEX ticks_without_run ON ticks (recorded_at) WHERE run_id IS NULL;

-- A batch goes after the last of its runs.
CREATE INDEX batches_by_end ON batches (finished_at) WHERE finished_at IS NOT NULL;
