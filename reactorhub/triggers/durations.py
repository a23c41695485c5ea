"""Time spans as people write them: ``90s``, ``15m``, ``2h``, ``1d``, ``1h30m``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
INSTANT = timedelta(microseconds=1)


def moment_text(moment: datetime) -> str:
    """Write a UTC moment as ISO 8601 does: ``2026-12-01T08:00:00Z``."""
    return moment.isoformat().replace("+00:00", "Z")


def duration_text(duration: timedelta) -> str:
    """Spell a duration the way the schedule file does: ``1h30m``, ``10m``, ``0s``."""
    minutes, seconds = divmod(duration, timedelta(minutes=1))
    amounts = (minutes // 1440, minutes // 60 % 24, minutes % 60, seconds / SECOND)
    return (
        "".join(f"{amount:g}{unit}" for amount, unit in zip(amounts, "dhms", strict=True) if amount) or "0s"
    )


_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,6})?)"
_DURATION = re.compile(rf"(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")
_SECONDS = (86_400, 3_600, 60, 1)
_MAX_SECONDS = 36_500 * 86_400


def duration(text: str) -> timedelta:
    """Return the time span that ``text`` writes.

    :raises ValueError: with a sentence, if it is none, has no unit, or is not more than 0s.
    """
    if text.isdecimal():
        raise ValueError(f"write a unit after {text!r}: s, m, h or d, such as 90s or 15m")
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"{text!r} is no time span; write it like 90s, 15m, 2h, 1d or 1h30m")
    parts = zip(match.groups(), _SECONDS, strict=True)
    seconds = sum(float(number) * unit for number, unit in parts if number)
    if not 0 < seconds <= _MAX_SECONDS:
        raise ValueError(f"must be more than 0s and at most 36500d, not {text!r}")
    return timedelta(seconds=seconds)
