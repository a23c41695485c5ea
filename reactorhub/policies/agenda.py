"""The pure rule that decides which ticks are due. Its cost is bounded, even after ten years of downtime."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reactorhub.model.schedule import Catchup, Schedule
from reactorhub.policies.jitter import start_at
from reactorhub.triggers.durations import INSTANT, SECOND, duration_text
from reactorhub.triggers.rules import Interval, Trigger
from reactorhub.triggers.wall_clock import utc_text
from reactorhub.triggers.window import Window

MAX_DUE = 1000
"""At most this many missed ticks of a schedule get a row each. One more row stands for all others."""

ON_TIME = timedelta(seconds=10)
"""A tick that is at most this late is on time. No catch-up window is shorter."""


@dataclass(frozen=True, slots=True)
class Due:
    """A tick that runs now."""

    schedule: Schedule
    nominal_time: datetime

    @property
    def last(self) -> datetime:
        """The last moment that this tick accounts for."""
        return self.nominal_time


@dataclass(frozen=True, slots=True)
class Missed:
    """A tick that does not run, and why. With ``until`` it stands for all ticks up to that one."""

    schedule: Schedule
    nominal_time: datetime
    until: datetime | None
    reason: str

    @property
    def last(self) -> datetime:
        """The last moment that this tick accounts for."""
        return self.until or self.nominal_time


@dataclass(frozen=True, slots=True)
class Plan:
    """The ticks to deal with now, and when to plan again. Ticks are ordered by nominal time, then by name.

    ``wake_at`` is when the earliest future tick starts; None if there is no such tick.
    """

    due: tuple[Due, ...]
    missed: tuple[Missed, ...]
    wake_at: datetime | None

    @property
    def ticks(self) -> tuple[Due | Missed, ...]:
        """All ticks to account for, in one order."""
        return tuple(sorted((*self.missed, *self.due), key=_order))


def plan(entries: Iterable[tuple[Schedule, datetime]], now: datetime) -> Plan:
    """Decide the ticks in (``since``, ``now``] of each schedule that is enabled and has a trigger.

    A tick is due when its jitter is over. A tick that was due longer ago than the catch-up window is missed.
    Within the window, ``catchup: all`` runs the newest ``max_catchup`` ticks and ``latest`` runs the newest
    one. ``skip`` has no window: it runs ticks that are on time. All other ticks are missed.
    """
    due: list[Due] = []
    missed: list[Missed] = []
    wakes: list[datetime] = []
    for schedule, since in entries:
        if schedule.trigger is None or not schedule.enabled:
            continue
        owed, coming = _owed(schedule, schedule.trigger, since, now)
        if owed.ticks:
            kept = _kept(owed)
            due.extend(Due(schedule, tick) for tick in kept)
            missed.extend(_missed(owed, kept))
        wakes.extend([start_at(schedule, coming)] if coming else [])
    return Plan(tuple(sorted(due, key=_order)), tuple(sorted(missed, key=_order)), min(wakes, default=None))


def upcoming(schedule: Schedule, after: datetime, n: int) -> tuple[datetime, ...]:
    """Return the next ``n`` ticks after a moment. There are none while it is disabled."""
    found: list[datetime] = []
    trigger, tick = schedule.trigger, after
    while trigger and schedule.enabled and len(found) < n and (coming := trigger.next_after(tick)):
        found.append(tick := coming)
    return tuple(found)


def last_tick(trigger: Trigger, since: datetime, until: datetime) -> datetime | None:
    """Return the last tick in (since, until], or None if there is none.

    A trigger only answers which tick comes next, so this is a binary search: all moments that have a tick
    between them and ``until`` come before those that have none.
    """

    def over(microseconds: int) -> bool:
        tick = trigger.next_after(since + microseconds * INSTANT)
        return tick is None or tick > until

    moments = bisect_left(range((until - since) // INSTANT), True, key=over)
    return trigger.next_after(since + (moments - 1) * INSTANT) if moments else None


@dataclass(eq=False, slots=True)
class ScheduleAccount:
    """What a schedule has accounted for: all ticks up to ``accounted_until``, and later ones in ``settled``.

    ``next`` is when its next tick starts. It is known once the account has ``looked``; until then the trigger
    need not be asked again. ``reach`` is the latest moment up to which ticks were planned or dealt with.
    ``owed`` are the ticks to deal with, oldest first. ``queued`` and ``failing`` belong to the scheduler.
    """

    schedule: Schedule
    accounted_until: datetime
    next: datetime | None = None
    looked: bool = False
    queued: bool = False
    failing: bool = False
    settled: frozenset[datetime] = frozenset()
    owed: tuple[Due | Missed, ...] = ()
    reach: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.reach = self.accounted_until

    @property
    def rule(self) -> tuple[Trigger | None, bool]:
        """The values that its ticks depend on, beside ``accounted_until``."""
        return self.schedule.trigger, self.schedule.enabled

    @property
    def ticking(self) -> bool:
        """Whether the schedule can have ticks at all."""
        return self.schedule.enabled and self.schedule.trigger is not None

    def look(self, now: datetime) -> None:
        """Plan the ticks that are owed now, and the next wake-up."""
        planned = plan([(self.schedule, self.accounted_until)], now)
        self.owed = tuple(tick for tick in planned.ticks if tick.nominal_time not in self.settled)
        self.next, self.looked, self.reach = planned.wake_at, True, max(self.accounted_until, now)

    def take(self, limit: int) -> list[Due | Missed]:
        """Take the next ticks to deal with. A row that stands for several ticks is taken alone."""
        count = 1
        while count < min(limit, len(self.owed)) and all(map(_single, self.owed[count - 1 : count + 1])):
            count += 1
        taken, self.owed = list(self.owed[:count]), self.owed[count:]
        return taken

    def settle(self, ticks: list[Due | Missed], done: list[bool]) -> bool:
        """Record which of the taken ticks were dealt with. Return whether all of them were."""
        reached = done.index(False) if False in done else len(done)
        self.accounted_until = max([self.accounted_until, *(tick.last for tick in ticks[:reached])])
        dealt_with = {tick.nominal_time for tick, well in zip(ticks, done, strict=True) if well}
        self.settled = frozenset(
            moment for moment in self.settled | dealt_with if moment > self.accounted_until
        )
        return reached == len(done)


def _single(tick: Due | Missed) -> bool:
    return isinstance(tick, Due) or tick.until is None


def _order(tick: Due | Missed) -> tuple[datetime, str]:
    return tick.nominal_time, tick.schedule.name


@dataclass(frozen=True, slots=True)
class _Owed:
    """The ticks of a schedule that are due ``now``.

    These are the ticks in ``ticks`` and, if there are more than ``MAX_DUE`` of them, all later ones up to
    ``until``.
    """

    schedule: Schedule
    trigger: Trigger
    ticks: list[datetime]
    until: datetime
    now: datetime


def _owed(
    schedule: Schedule, trigger: Trigger, since: datetime, now: datetime
) -> tuple[_Owed, datetime | None]:
    """Return the ticks due since a moment, and the first tick that is not due yet.

    Jitter can only delay the newest tick, because every tick starts before the next one.
    """
    ticks, coming = _ticks(trigger, since, now)
    many = len(ticks) > MAX_DUE
    newest = (last_tick(trigger, since, now) if many else ticks[-1]) if ticks and schedule.jitter else None
    if newest is None or start_at(schedule, newest) <= now:
        return _Owed(schedule, trigger, ticks, now, now), trigger.next_after(now) if many else coming
    due = [tick for tick in ticks if tick < newest]
    return _Owed(schedule, trigger, due, newest - INSTANT, now), newest


def _ticks(trigger: Trigger, since: datetime, now: datetime) -> tuple[list[datetime], datetime | None]:
    """The ticks in (since, now], at most ``MAX_DUE`` + 1 of them, and the tick after the last one."""
    found: list[datetime] = []
    tick = trigger.next_after(since)
    while tick is not None and tick <= now and len(found) <= MAX_DUE:
        found.append(tick)
        tick = trigger.next_after(tick)
    return found, tick


def _window(schedule: Schedule) -> timedelta:
    return ON_TIME if schedule.catchup is Catchup.SKIP else max(schedule.catchup_window, ON_TIME)


def _in_time(owed: _Owed, tick: datetime) -> bool:
    """Whether a tick was due within the catch-up window. Jitter does not count as lateness."""
    opening = owed.now - _window(owed.schedule)
    if tick >= opening or tick + owed.schedule.jitter < opening:
        return tick >= opening
    return start_at(owed.schedule, tick) >= opening


def _kept(owed: _Owed) -> tuple[datetime, ...]:
    """The ticks up to now that run, oldest first."""
    limit = 1 if owed.schedule.catchup is Catchup.LATEST else owed.schedule.max_catchup
    if len(owed.ticks) > MAX_DUE:
        return _newest(owed.trigger, _opening(owed) - INSTANT, owed.until, limit)
    return tuple(tick for tick in owed.ticks if _in_time(owed, tick))[-limit:]


def _opening(owed: _Owed) -> datetime:
    """The moment from which ticks are in time."""
    first = owed.ticks[0]
    opening = max(first, owed.now - _window(owed.schedule))
    earliest = max(first, opening - owed.schedule.jitter)
    last_before = (
        last_tick(owed.trigger, earliest - INSTANT, opening - INSTANT) if owed.schedule.jitter else None
    )
    return last_before if last_before is not None and _in_time(owed, last_before) else opening


def _missed(owed: _Owed, kept: tuple[datetime, ...]) -> Iterable[Missed]:
    schedule, ticks = owed.schedule, owed.ticks
    end = kept[0] if kept else owed.until + INSTANT
    for tick in ticks[:MAX_DUE]:
        if tick < end:
            yield Missed(schedule, tick, None, _reason(schedule, not _in_time(owed, tick)))
    if len(ticks) > MAX_DUE and (start := ticks[MAX_DUE]) < end:
        until = last_tick(owed.trigger, start - INSTANT, end - INSTANT) or start
        yield Missed(schedule, start, until, _rest(owed.trigger, start, until))


def _rest(trigger: Trigger, first: datetime, last: datetime) -> str:
    """Return the reason of a row that stands for all ticks from one to another."""
    count = _counted(trigger, first, last)
    number = "" if count is None else f"{count:,} "
    return f"{number}more tick{'s' * (count != 1)} missed from {utc_text(first)} to {utc_text(last)}"


def _counted(trigger: Trigger, first: datetime, last: datetime) -> int | None:
    """Count the ticks between two of them, both included. None if counting would take too long."""
    rule = trigger.rule if isinstance(trigger, Window) and not trigger.exclude else trigger
    if isinstance(rule, Interval):
        return (last - first) // rule.every + 1
    ticks, _ = _ticks(trigger, first, last)
    return None if len(ticks) > MAX_DUE else len(ticks) + 1


def _reason(schedule: Schedule, too_old: bool) -> str:
    if schedule.catchup is Catchup.SKIP:
        why = "catchup is skip"
    elif too_old:
        why = f"the tick is older than the catch-up window of {duration_text(_window(schedule))}"
    elif schedule.catchup is Catchup.LATEST:
        why = "catchup is latest, and a later tick runs instead"
    else:
        why = f"only the newest {schedule.max_catchup} missed ticks run (max_catchup)"
    return f"the hub was not running or not able to run it then; {why}"


def _newest(trigger: Trigger, since: datetime, until: datetime, limit: int) -> tuple[datetime, ...]:
    """The newest ticks in (since, until], oldest first, at a cost that does not grow with that span.

    It walks back from the last tick in strides. No stride may have more than ``MAX_DUE`` ticks, so that one
    stride costs a bounded number of questions to the trigger.
    """
    # A rule may be dense here and sparse there, such as "every second on Mondays". So a stride with too many
    # ticks is halved and tried again, and a stride that fits is doubled for the next step back. last_tick()
    # skips the stretches without ticks. The first stride fits a rule that ticks every second.
    found: deque[datetime] = deque()
    stride = MAX_DUE * SECOND
    while len(found) < limit and (last := last_tick(trigger, since, until)) is not None:
        opening = max(since, last - stride)
        ticks, _ = _ticks(trigger, opening, last)
        if len(ticks) > MAX_DUE:
            stride /= 2
            continue
        found.extendleft(reversed(ticks))
        stride, until = stride * 2, opening
    return tuple(found)[-limit:]
