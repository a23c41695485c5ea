-- Version 2: retries, and pauses after failures.

-- The rule by which a run is tried again, in JSON; null: never.
ALTER TABLE runs ADD COLUMN retry TEXT;

-- When the schedule was last resumed: failures up to this moment no longer count.
ALTER TABLE marks ADD COLUMN resumed_at INTEGER;
