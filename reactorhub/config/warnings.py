"""Warnings about a schedule file that has no mistakes."""

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
MAX_QUESTIONS = 50_000
"""The search for pile-ups asks triggers for their next tick at most this many times: a check stays quick. A
trigger with many exclusions takes longer to answer and counts more than once."""

_EXCLUSIONS_PER_QUESTION = 16
MAX_PILES = 5
"""At most this many pile-ups are reported: those of the most schedules."""

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
    """The worst pile-ups up to ``until``, in order of time, and the number of others."""

    piles: tuple[Pile, ...]
    others: int
    until: datetime


def never_firing(config: HubConfig, now: datetime) -> Iterator[Mistake]:
    """Warn of enabled schedules whose trigger has no future tick."""
    for name, schedule in config.schedules.items():
        trigger = schedule.trigger
        timed = trigger is not None and not isinstance(trigger, After)
        if trigger and timed and schedule.enabled and trigger.next_after(now) is None:
            key, why = _why_never(trigger, now)
            message = f"never runs again: {why}; change it, or remove the schedule"
            yield config.mistake(("schedules", name, key), message)


def _why_never(trigger: Trigger, now: datetime) -> tuple[str, str]:
    """The key that causes it, and the reason."""
    end = end_of(trigger)
    if end is not None and end <= now and trigger.kind != Once.kind:
        return "end_time", f"its end_time {time_text(end)} has passed"
    return _KEYS.get(trigger.kind, trigger.kind), f"{trigger.text} has no future time"


def in_vain(config: HubConfig) -> Iterator[Mistake]:
    """Warn of schedules with ``catchup: all`` whose overlap policy skips most of the missed ticks.

    Missed ticks are due all at once: the first becomes a run, and the others meet that run.
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
    """Warn of moments within a day at which more schedules are due than may run at once."""
    limit, path = config.max_concurrent_runs, ("hub", "max_concurrent_runs")
    outlook = pile_ups(config.schedules.values(), limit, now, now + DAY)
    for pile in outlook.piles:
        yield config.mistake(path, _sentence(pile, limit, ZoneInfo(config.timezone)))
    if outlook.others:
        message = f"and {outlook.others:,} more groups of schedules are due at once, each of them smaller"
        yield config.mistake(path, message)


def pile_ups(schedules: Iterable[Schedule], limit: int, after: datetime, until: datetime) -> Outlook:
    """Find the seconds between two moments in which more than ``limit`` schedules are due.

    The search ends after ``MAX_QUESTIONS``; ``until`` of the answer says how far it got. Schedules with
    jitter are left out, because jitter spreads their starts.
    """
    found: dict[tuple[str, ...], tuple[datetime, list[Group], int]] = {}
    questions = 0
    ticks = coming((schedule for schedule in schedules if not schedule.jitter), after)
    for second, meeting in groupby(ticks, key=lambda tick: tick[0].replace(microsecond=0)):
        if second > until or questions > MAX_QUESTIONS:
            until = min(until, second)
            break
        groups = [group for _, group in meeting]
        questions += sum(map(_cost, groups))
        if sum(map(len, groups)) > limit:
            key = tuple(sorted(group[0].name for group in groups))
            first, _, times = found.get(key, (second, groups, 0))
            found[key] = (first, groups, times + 1)
    return _worst(found.values(), until)


def _cost(group: Group) -> int:
    trigger = group[0].trigger
    return 1 + len(trigger.exclude) // _EXCLUSIONS_PER_QUESTION if isinstance(trigger, Window) else 1


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
