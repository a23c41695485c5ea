"""Deletes old rows. The indexes of 005.sql list them in the order of deletion."""

from __future__ import annotations

from datetime import datetime

from reactorhub.model.run import FINAL
from reactorhub.storage.rows import to_number
from reactorhub.storage.sqlite.sql import Database, one_of

# The + keeps SQLite from using the index of states: it would read and sort all final runs.
ENDED = f"""
    SELECT seq, schedule, nominal_time, id FROM runs
    WHERE finished_at < :before AND +state IN ({one_of(FINAL)})
    ORDER BY finished_at LIMIT :rows
"""
WITHOUT_RUN = """
    SELECT schedule, nominal_time FROM ticks
    WHERE run_id IS NULL AND recorded_at < :before
    ORDER BY recorded_at LIMIT :rows
"""
DONE_BATCHES = """
    SELECT id FROM batches WHERE finished_at < :before ORDER BY finished_at LIMIT :rows
"""
FORGET_RUN = "DELETE FROM runs WHERE seq = ?"
FORGET_TICK = "DELETE FROM ticks WHERE schedule = ? AND nominal_time = ?"
FORGET_ITS_TICK = f"{FORGET_TICK} AND run_id = ?"
FORGET_BATCH = "DELETE FROM batches WHERE id = ?"


def prune(db: Database, before: datetime, limit: int) -> int:
    """Delete at most ``limit`` rows that are older than this moment. Return the number deleted."""
    moment, gone = to_number(before), 0
    for seq, *tick in db.execute(ENDED, {"before": moment, "rows": limit}).fetchall():
        if gone + 2 > limit:
            return gone
        gone += db.execute(FORGET_RUN, (seq,)).rowcount
        gone += db.execute(FORGET_ITS_TICK, tick).rowcount
    for found, forget in ((WITHOUT_RUN, FORGET_TICK), (DONE_BATCHES, FORGET_BATCH)):
        keys = db.execute(found, {"before": moment, "rows": limit - gone}).fetchall()
        gone += sum(db.execute(forget, key).rowcount for key in keys)
    return gone
