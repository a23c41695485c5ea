-- Version 8: runs whose isolation the doctor decides.

-- Why a run with isolate = 'auto' has a process of its own. NULL: it has none, or was ordered to have one.
ALTER TABLE runs ADD COLUMN isolated_because TEXT;
