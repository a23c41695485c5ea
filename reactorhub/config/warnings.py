"""What is doubtful about a schedule file that has no mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from reactorhub.config import HubConfig
from reactorhub.errors import Mistake
from reactorhub.forecast.upcoming import Group, coming
from reactorhub.model.schedule import Catchup, Overlap, Schedule
from reactorhub.model.values import time_text
from reactorhub.triggers.rules import After, Once, Trigger
from reactorhub.triggers.window import Window, end_of

DAY = timedelta(hours=24)
MAX_LOOKS = 50_000
"""At most this many times the search for pile-ups asks a trigger when it ticks next. One that leaves out much
takes longer to answer, and counts for several."""

_EXCLUSIONS_A_LOOK = 16
MAX_PILES = 5
"""At most this many different pile-ups are told of: those of the most schedules."""

MAX_NAMES = 10
"""At most this many schedules of a pile-up are named."""

_MEETING = frozenset({Overlap.SKIP, Overlap.BUFFER_ONE, Overlap.CANCEL_OTHER})
_KEYS = {"once": "at"}  # where a trigger is written, if not under its kind


@dataclass(frozen=True, slots=True)
class Pile:
    """Schedules that are due in the same second: who, when first, and how many times they meet."""

    first: datetime
    schedules: tuple[str, ...]
    times: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """The worst pile-ups up to ``until``, in order of time, and how many different ones there are beside."""

    piles: tuple[Pile, ...]
    others: int
    until: datetime


def never_firing(config: HubConfig, now: datetime) -> Iterator[Mistake]:
    """Say which schedules have a trigger, are enabled, and yet have no tick to come."""
    for name, schedule in config.schedules.items():
        trigger = schedule.trigger
        timed = trigger is not None and not isinstance(trigger, After)
        if trigger and timed and schedule.enabled and trigger.next_after(now) is None:
            key, why = _why_never(trigger, now)
            message = f"never runs again: {why}; change it, or remove the schedule"
            yield config.mistake(("schedules", name, key), message)


def _why_never(trigger: Trigger, now: datetime) -> tuple[str, str]:
    """The key to blame, and what is the matter with it."""
    end = end_of(trigger)
    if end is not None and end <= now and trigger.kind != Once.kind:
        return "end_time", f"its end_time {time_text(end)} has passed"
    return _KEYS.get(trigger.kind, trigger.kind), f"{trigger.text} has no future time"


def in_vain(config: HubConfig) -> Iterator[Mistake]:
    """Say which schedules would catch up on all missed ticks, if their overlap policy let them.

    Those ticks come at once. The first one becomes a run, and the others meet it.
    """
    for name, schedule in config.schedules.items():
        timed = schedule.trigger is not None and not isinstance(schedule.trigger, (After, Once))
        if timed and schedule.enabled and schedule.catchup is Catchup.ALL and schedule.overlap in _MEETING:
            message = (
                f"missed ticks run all at once, but overlap {schedule.overlap.value} does not let all of them"
                " run; write overlap: buffer_all, or catchup: latest"
            )
            yield config.mistake(("schedules", name, "catchup"), message)


def crowded(config: HubConfig, now: datetime) -> Iterator[Mistake]:
    """Say where more schedules are due at once within a day than may run at once."""
    limit, path = config.max_concurrent_runs, ("hub", "max_concurrent_runs")
    outlook = pile_ups(config.schedules.values(), limit, now, now + DAY)
    for pile in outlook.piles:
        yield config.mistake(path, _sentence(pile, limit, ZoneInfo(config.timezone)))
    if outlook.others:
        message = f"and {outlook.others:,} more groups of schedules are due at once, each of them smaller"
        yield config.mistake(path, message)


def pile_ups(schedules: Iterable[Schedule], limit: int, after: datetime, until: datetime) -> Outlook:
    """Find the seconds between two moments in which more than ``limit`` schedules are due.

    Nothing after ``MAX_LOOKS`` looks counts; ``until`` of the answer says how far they went. A schedule with
    jitter spreads its starts by itself, so it piles up with nobody.
    """
    found: dict[tuple[str, ...], tuple[datetime, list[Group], int]] = {}
    looks = 0
    ticks = coming((schedule for schedule in schedules if not schedule.jitter), after)
    for second, meeting in groupby(ticks, key=lambda tick: tick[0].replace(microsecond=0)):
        if second > until or looks > MAX_LOOKS:
            until = min(until, second)
            break
        groups = [group for _, group in meeting]
        looks += sum(map(_looks, groups))
        if sum(map(len, groups)) > limit:
            key = tuple(sorted(group[0].name for group in groups))
            first, _, times = found.get(key, (second, groups, 0))
            found[key] = (first, groups, times + 1)
    return _worst(found.values(), until)


def _looks(group: Group) -> int:
    trigger = group[0].trigger
    return 1 + len(trigger.exclude) // _EXCLUSIONS_A_LOOK if isinstance(trigger, Window) else 1


def _worst(found: Iterable[tuple[datetime, list[Group], int]], until: datetime) -> Outlook:
    by_size = sorted(found, key=lambda each: -sum(map(len, each[1])))
    piles = [
        Pile(first, tuple(sorted(schedule.name for group in groups for schedule in group)), times)
        for first, groups, times in by_size[:MAX_PILES]
    ]
    in_order = tuple(sorted(piles, key=lambda pile: pile.first))
    return Outlook(in_order, len(by_size) - len(piles), until)


def _sentence(pile: Pile, limit: int, zone: ZoneInfo) -> str:
    number, others = len(pile.schedules), pile.times - 1
    again = f" (and {others:,} more time{'s' * (others > 1)} within a day)" if others else ""
    rest = number - MAX_NAMES
    names = ", ".join(pile.schedules[:MAX_NAMES]) + (f" and {rest:,} more" if rest > 0 else "")
    return (
        f"{number:,} schedules are due at {pile.first.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}{again}, but "
        f"only {limit:,} may run at once; spread them out, give them jitter, or raise the limit: {names}"
    )
