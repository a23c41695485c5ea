"""Time zones and their wall clocks."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from reactorhub.triggers.durations import SECOND


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name.

    :raises ValueError: if there is no time zone of this name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}; use an IANA name such as Europe/Berlin") from error


def wall_time(moment: datetime, where: ZoneInfo) -> datetime:
    """Return the local time of a moment in a zone, as a time without zone."""
    return moment.astimezone(where).replace(tzinfo=None, fold=0)


def change_of_offset(where: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the first second in (``before``, ``after``] whose UTC offset differs from that of ``before``."""

    def changed(seconds: int) -> bool:
        return (before + seconds * SECOND).astimezone(where).utcoffset() != old

    old = before.astimezone(where).utcoffset()
    return before + bisect_left(range((after - before) // SECOND + 1), True, key=changed) * SECOND


def utc_text(moment: datetime) -> str:
    """Return a moment in UTC as RFC 3339 text."""
    return moment.isoformat().replace("+00:00", "Z")


def local_text(moment: datetime, timezone: str) -> str:
    """Return a moment on the wall clock of a zone, with the zone's abbreviation."""
    return f"{moment.astimezone(zone(timezone)):%a %Y-%m-%d %H:%M:%S %Z}"
