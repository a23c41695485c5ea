"""Reads a ledger from outside, while its hub runs: what became of ticks, and by how much they were late."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

_LATENESS = """
    SELECT max(ticks.recorded_at, coalesce(runs.created_at, 0)) - ticks.nominal_time
    FROM ticks LEFT JOIN runs ON runs.id = ticks.run_id WHERE ticks.nominal_time = ?
"""


class LedgerFile:
    """A ledger's file, opened for reading."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def ticks(self, moment: datetime) -> int:
        """Return how many ticks of this nominal time are on disk."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM ticks WHERE nominal_time = ?", (_number(moment),)
        ).fetchone()
        return int(count)

    def lateness(self, moment: datetime) -> list[float]:
        """Return for each tick of this nominal time how many seconds later the hub took it up.

        That is when its row, and its run where it has one, say that they were made.
        """
        return [late / 1_000_000 for (late,) in self._db.execute(_LATENESS, (_number(moment),))]


@contextmanager
def opened(file: Path) -> Iterator[LedgerFile]:
    """Open a ledger's file; nothing is ever written to it."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        yield LedgerFile(db)


def _number(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
