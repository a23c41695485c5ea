"""Makes a ledger with a long past: so many runs and so many ticks, in one statement for each table."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from reactorhub.storage.rows import to_number
from reactorhub.storage.sqlite.file import schema_scripts, upgrade

SCHEDULES = 100
SPIDERS = 20
SPAN = timedelta(days=365)
"""The time that the past is spread over, evenly, up to now."""

STATS = json.dumps(
    {
        "downloader/request_bytes": 24_211,
        "downloader/request_count": 84,
        "downloader/request_method_count/GET": 84,
        "downloader/response_bytes": 1_203_331,
        "downloader/response_count": 84,
        "downloader/response_status_count/200": 84,
        "elapsed_time_seconds": 61.204,
        "finish_reason": "finished",
        "finish_time": "2026-11-21T12:00:00.000000Z",
        "item_scraped_count": 1000,
        "items_per_minute": 980.3,
        "log_count/DEBUG": 1089,
        "log_count/INFO": 11,
        "response_received_count": 84,
        "responses_per_minute": 82.3,
        "scheduler/dequeued": 84,
        "scheduler/enqueued": 84,
        "start_time": "2026-11-21T11:59:00.000000Z",
    }
)
"""What Scrapy counts in a crawl of average size."""

# Every tenth run was ordered by hand, and every tenth tick was skipped; all others belong together. Run n
# began :step * n microseconds after :start, and took a minute.
_RUNS = """
    WITH RECURSIVE past (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM past WHERE n + 1 < :rows)
    INSERT INTO runs (id, spider, project, schedule, nominal_time, queue, priority, stop_grace, attempt, args,
                      settings, tags, created_at, state, reason, started_at, finished_at, finish_reason,
                      errors, stats)
    SELECT printf('%08x-%04x-7000-8000-%012x', moment / 65536000, moment / 1000 % 65536, n),
           'spider-' || (n % :spiders), 'shop', iif(n % 10, 'schedule-' || (n % :schedules), NULL),
           iif(n % 10, moment, NULL), 'default', 0, 30, 1, '{"category":"laptops"}', '{}',
           iif(n % 1000, '["nightly"]', '["nightly","rare"]'), moment,
           iif(n % 97 = 7, 'failed', 'succeeded'), 'the crawl finished', moment, moment + 60000000,
           'finished', 0, :stats
    FROM (SELECT n, :start + n * :step AS moment FROM past)
"""
_TICKS = """
    WITH RECURSIVE past (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM past WHERE n + 1 < :rows)
    INSERT INTO ticks (schedule, nominal_time, outcome, reason, run_id, recorded_at)
    SELECT 'schedule-' || (n % :schedules), moment, iif(n % 10, 'run', 'skipped'),
           iif(n % 10, NULL, 'the schedule is paused: by an operator'),
           iif(n % 10, printf('%08x-%04x-7000-8000-%012x', moment / 65536000, moment / 1000 % 65536, n),
               NULL),
           moment
    FROM (SELECT n, :start + n * :step AS moment FROM past)
"""


def make_past(file: Path, rows: int, now: datetime) -> None:
    """Make a ledger at ``file`` with so many runs and so many ticks, the newest at ``now``.

    The schema's own triggers keep counters and tags, as in a hub; only nothing is forced to the disk.
    """
    step = SPAN // timedelta(microseconds=1) // rows
    values = {"rows": rows, "start": to_number(now) - rows * step, "step": step, "stats": STATS}
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        upgrade(db, schema_scripts())
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -200000")
        db.execute("BEGIN")
        db.execute(_RUNS, {**values, "schedules": SCHEDULES, "spiders": SPIDERS})
        db.execute(_TICKS, {**values, "schedules": SCHEDULES})
        db.execute("COMMIT")
