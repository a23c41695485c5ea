"""Sets of schedules to measure with: thousands that rest, or many that are due at one moment. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
SPIDER = "pause"
AWAY = timedelta(hours=6)
"""How far ahead the crons of schedules that rest are."""

Plan = Mapping[str, Mapping[str, Any]]
"""What stands under ``schedules:`` in a schedule file."""


def resting(count: int, now: datetime, version: int = 0) -> Plan:
    """Return schedules of which none is due within 50 minutes: intervals, and crons in several zones.

    Another ``version`` has the same names, and not one schedule that is the same.
    """
    anchor = now.replace(second=0, microsecond=0).isoformat()
    return {
        _name(number): {
            **(_interval(number, anchor) if number % 2 else _daily(number, now)),
            **({"args": {"version": str(version)}} if version else {}),
        }
        for number in range(count)
    }


def due(kind: str, count: int, moment: datetime) -> Plan:
    """Return schedules that are all due at one moment, half by a cron and half by the time itself.

    The names of each ``kind`` are its own.
    """
    cron = {"spider": SPIDER, "cron": f"{moment:%S %M %H %d %m} *"}
    once = {"spider": SPIDER, "at": moment.isoformat()}
    return {f"{kind}-{number:05}": once if number % 2 else cron for number in range(count)}


def alike(count: int) -> Plan:
    """Return schedules with one and the same cron."""
    return {_name(number): {"spider": SPIDER, "cron": "0 3 * * *"} for number in range(count)}


def all_different(count: int) -> Plan:
    """Return schedules of which no two have the same cron or the same minute of the day."""
    return {
        _name(number): {
            "spider": SPIDER,
            "cron": f"{number % 60} {number // 60 % 24} {1 + number // 1440 % 28} * *",
            "timezone": ZONES[number % len(ZONES)],
        }
        for number in range(count)
    }


def _name(number: int) -> str:
    return f"resting-{number:05}"


def _interval(number: int, anchor: str) -> Mapping[str, Any]:
    return {"spider": SPIDER, "interval": f"{3600 + number}s", "anchor": anchor}


def _daily(number: int, now: datetime) -> Mapping[str, Any]:
    zone = ZONES[number // 2 % len(ZONES)]
    hour = (now + AWAY).astimezone(ZoneInfo(zone)).hour
    return {"spider": SPIDER, "cron": f"{number // 2 % 60} {hour} * * *", "timezone": zone}
