-- Version 7: where a run's items went.

-- 1 if the project set feeds of its own, so that the hub wrote no items file. NULL: not known.
ALTER TABLE runs ADD COLUMN feeds INTEGER;
