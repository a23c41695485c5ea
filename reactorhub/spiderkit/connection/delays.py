"""How long a client waits between two attempts to connect."""

from __future__ import annotations

from datetime import UTC, datetime

FIRST_DELAY = 0.2  # seconds; a server that restarts is back soon
MAX_RETRY_DELAY = 3.0  # seconds; an outage ends for the client at most so much later than for Redis
MAX_LOGIN_DELAY = 30.0  # seconds; a refused login is rarely repaired at once, and Redis logs each attempt


def backoff(failures: int, longest: float = MAX_RETRY_DELAY) -> float:
    """Return the delay in seconds after ``failures`` failures in a row."""
    return float(min(longest, FIRST_DELAY * 2 ** min(failures - 1, 10)))


def utc_now() -> datetime:
    """Return the time of the wall clock."""
    return datetime.now(UTC)
