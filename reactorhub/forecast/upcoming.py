"""The next ticks of schedules, from the schedule file alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import heapify, heappop, heapreplace
from itertools import islice
from zoneinfo import ZoneInfo

from reactorhub.model.schedule import Schedule
from reactorhub.model.values import View, time_text
from reactorhub.triggers.cron import dst_mark
from reactorhub.triggers.rules import Trigger

Group = tuple[Schedule, ...]


def next_ticks(
    schedules: Iterable[Schedule], after: datetime, n: int
) -> tuple[tuple[datetime, Schedule], ...]:
    """Return the next ``n`` ticks of all these schedules together, in order of time."""
    ticks = ((moment, schedule) for moment, group in coming(schedules, after) for schedule in group)
    return tuple(islice(ticks, n))


def coming(schedules: Iterable[Schedule], after: datetime) -> Iterator[tuple[datetime, Group]]:
    """Yield the ticks after a moment in order of time, each with the schedules that share its trigger.

    A trigger is asked once for all of its schedules, so a thousand hourly schedules cost one call an hour.
    """
    groups = _by_trigger(schedules)
    nexts = [(trigger.next_after(after), number, trigger) for number, trigger in enumerate(groups)]
    heap = [(tick, number, trigger) for tick, number, trigger in nexts if tick is not None]
    heapify(heap)
    while heap:
        moment, number, trigger = heap[0]
        yield moment, tuple(groups[trigger])
        following = trigger.next_after(moment)
        if following is None:
            heappop(heap)
        else:
            heapreplace(heap, (following, number, trigger))


def next_view(schedule: Schedule, moment: datetime, default_zone: str) -> View:
    """Return the API view of a future tick: its time, its local time, and its DST mark."""
    return {
        "nominal_time": time_text(moment),
        "local_time": local_time(schedule, moment, default_zone).isoformat(),
        "dst": schedule.trigger and dst_mark(schedule.trigger, moment),
    }


def local_time(schedule: Schedule, moment: datetime, default_zone: str) -> datetime:
    """Return a moment on the wall clock of the schedule's trigger, or of ``default_zone`` if it has none."""
    zone = schedule.trigger and schedule.trigger.timezone
    return moment.astimezone(ZoneInfo(zone or default_zone))


def _by_trigger(schedules: Iterable[Schedule]) -> dict[Trigger, list[Schedule]]:
    groups: dict[Trigger, list[Schedule]] = {}
    for schedule in schedules:
        if schedule.trigger is not None and schedule.enabled:
            groups.setdefault(schedule.trigger, []).append(schedule)
    return groups
