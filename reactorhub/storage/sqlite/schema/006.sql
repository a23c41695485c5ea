-- Version 6: runs that have a process of their own.

-- Where the run crawls: 'none' is the hub's own reactor, 'process' a process of its own. NULL: from before.
ALTER TABLE runs ADD COLUMN isolate TEXT;

-- The bytes of memory that this process may use. NULL: any number.
ALTER TABLE runs ADD COLUMN memory_limit INTEGER;

-- The number of this process. NULL: it has none, or had none yet.
ALTER TABLE runs ADD COLUMN pid INTEGER;
