"""The pure rule that delays a tick by its jitter. The delay is the same after a restart."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256

from reactorhub.model.schedule import Schedule
from reactorhub.triggers.durations import INSTANT
from reactorhub.triggers.window import end_of


def start_at(schedule: Schedule, nominal_time: datetime) -> datetime:
    """Return the moment at which the tick of this nominal time starts.

    It lies in [nominal, nominal + ``jitter``), before the schedule's next nominal time and not after its
    ``end_time``. A hash of the schedule's name and the nominal time picks the moment. So schedules that share
    a time are spread, and every process picks the same moment.
    """
    if schedule.trigger is None or not schedule.jitter:
        return nominal_time
    following, end = schedule.trigger.next_after(nominal_time), end_of(schedule.trigger)
    rooms = [moment - nominal_time for moment in (following, end) if moment is not None]
    room = max(min([schedule.jitter, *rooms]), timedelta())
    seed = f"{schedule.name}\n{nominal_time.isoformat()}"
    return nominal_time + (hash_bits(seed) * (room // INSTANT) >> 64) * INSTANT


def hash_bits(seed: str) -> int:
    """Return 64 bits that look random. The same seed gives the same bits in every process."""
    return int.from_bytes(sha256(seed.encode()).digest()[:8])
