"""Forecasts how many slots the schedules will want, hour by hour, and where they will pile up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from zoneinfo import ZoneInfo

from reactorhub.forecast.contention import Contention, Period
from reactorhub.forecast.simulation import HUB, SimulatedSchedule, Simulation
from reactorhub.forecast.upcoming import coming
from reactorhub.model.run import DEFAULT_QUEUE, Run, RunState
from reactorhub.model.schedule import Overlap, Schedule, at_once
from reactorhub.policies.jitter import start_at
from reactorhub.policies.limits import Limits
from reactorhub.triggers.durations import SECOND
from reactorhub.triggers.rules import After

MAX_TICKS = 250_000
"""A forecast ends before it has more ticks than this. So many take a few seconds."""

MAX_PILES = 5
"""A forecast names at most this many pile-ups: those with the longest waits."""

MAX_SPAN = timedelta(days=31)
"""How far a forecast may reach."""

_MAX_LATE = 60  # past ticks of a schedule that may still be delayed by jitter; more would take too long


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a forecast is made from.

    ``durations`` are the durations of past runs, by schedule. A schedule without past runs is assumed to run
    for ``assume``. ``runs`` says how many ticks of each schedule have become runs so far, for ``max_runs``.
    ``unfinished`` are the runs that will go on. Schedules in ``paused`` are left out. ``max_waiting`` is
    ``hub.max_queued_runs``.
    """

    schedules: Mapping[str, Schedule]
    durations: Mapping[str, Sequence[timedelta]]
    assume: timedelta
    limits: Limits
    max_waiting: int
    runs: Mapping[str, int] = field(default_factory=dict)
    unfinished: tuple[Run, ...] = ()
    paused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of the wall clock; the first and the last hour of a forecast may be shorter.

    ``starts`` counts the runs that get a slot in this hour. ``average`` is the average number of slots in
    use, and ``peak`` the highest number of runs that have or want a slot at once. ``short`` names the limits
    that make runs wait.
    """

    begin: datetime
    end: datetime
    starts: int
    average: float
    peak: int
    short: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PileUp:
    """Runs of these schedules have to wait because of a limit.

    ``begin`` is when this happens first, and ``times`` how often it happens. ``wanted`` (the highest number
    of runs that have or want one of the ``slots``) and ``longest`` (the longest wait) are the worst of all
    times.
    """

    begin: datetime
    limit: str
    wanted: int
    slots: int
    schedules: tuple[str, ...]
    longest: timedelta
    times: int


@dataclass(frozen=True, slots=True)
class Skips:
    """How many ticks of a schedule would be skipped, because an earlier run goes on or the hub is full."""

    schedule: str
    skipped: int
    ticks: int


@dataclass(frozen=True, slots=True)
class Demand:
    """A forecast up to ``until``.

    ``pile_ups`` are the worst ones, in order of time, and ``others`` counts the rest. ``skips`` has the
    schedules with skipped ticks, and ``assumed`` those whose durations are not known from past runs.
    """

    hours: tuple[Hour, ...]
    pile_ups: tuple[PileUp, ...]
    others: int
    skips: tuple[Skips, ...]
    assumed: tuple[str, ...]
    until: datetime


def demand(basis: Basis, now: datetime, until: datetime, timezone: str) -> Demand:
    """Forecast the time between two moments, hour by hour on the wall clock of a time zone.

    A run lasts as long as the median of the schedule's past runs, but no longer than its timeout. A tick
    starts after its jitter. A schedule that runs after another starts when a run of the other ends: all
    simulated runs succeed.
    """
    ahead = {
        name: schedule
        for name, schedule in basis.schedules.items()
        if schedule.enabled and schedule.trigger is not None and name not in basis.paused
    }
    simulated_schedules = {name: _simulated(schedule, basis) for name, schedule in basis.schedules.items()}
    _chain(ahead.values(), simulated_schedules)
    edges = list(_edges(now, until, ZoneInfo(timezone)))
    simulation = Simulation(basis.limits, basis.max_waiting, [_seconds(edge - now) for edge in edges])
    _resume(simulation, basis, simulated_schedules, now)
    until = _run(simulation, ahead.values(), simulated_schedules, now, until)
    simulation.finish(_seconds(until - now))
    piles = _piles(simulation.meter.contentions, basis.limits, now)
    chosen = sorted(piles[:MAX_PILES], key=lambda pile: pile.begin)
    return Demand(
        hours=tuple(_hours(simulation.meter.periods, now, until)),
        pile_ups=tuple(chosen),
        others=len(piles) - len(chosen),
        skips=tuple(
            Skips(simulated.name, simulated.skipped, simulated.ticks)
            for simulated in simulated_schedules.values()
            if simulated.skipped
        ),
        assumed=tuple(
            name for name in ahead if simulated_schedules[name].ticks and not basis.durations.get(name)
        ),
        until=until,
    )


def _seconds(span: timedelta) -> float:
    return span / SECOND


def _edges(now: datetime, until: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Now, each full hour of the zone's wall clock, and the end."""
    while now < until:
        yield now
        wall = now.astimezone(zone)
        into = timedelta(minutes=wall.minute, seconds=wall.second, microseconds=wall.microsecond)
        now += timedelta(hours=1) - into
    yield until


def _simulated(schedule: Schedule, basis: Basis) -> SimulatedSchedule:
    spec = schedule.spec
    return SimulatedSchedule(
        name=schedule.name,
        queue=spec.queue,
        priority=spec.priority,
        seconds=_run_seconds(basis.durations.get(schedule.name), spec.timeout, basis.assume),
        overlap=schedule.overlap,
        limit=at_once(schedule),
        left=schedule.runs_left(basis.runs.get(schedule.name, 0)),
    )


def _chain(schedules: Iterable[Schedule], simulated_schedules: Mapping[str, SimulatedSchedule]) -> None:
    """Connect schedules that run after others."""
    for schedule in schedules:
        trigger = schedule.trigger
        if isinstance(trigger, After) and RunState.SUCCEEDED.value in trigger.states:
            for name in trigger.upstream:
                simulated_schedules[name].followers.append(simulated_schedules[schedule.name])


def _run_seconds(past: Sequence[timedelta] | None, timeout: float | None, assume: timedelta) -> float:
    seconds = median(map(_seconds, past)) if past else _seconds(assume)
    return seconds if timeout is None else min(seconds, timeout)


def _resume(
    simulation: Simulation, basis: Basis, simulated_schedules: Mapping[str, SimulatedSchedule], now: datetime
) -> None:
    """Add the unfinished runs to the simulation: first those with slots."""
    for run in sorted(basis.unfinished, key=lambda run: not run.state.active):
        simulated = simulated_schedules.get(run.spec.schedule or "") or _without_schedule(run, basis)
        if run.state.active:
            gone = now - (run.started_at or now)
            simulation.add_running(simulated, max(0.0, simulated.seconds - _seconds(gone)))
        else:
            simulation.add_queued(simulated)


def _without_schedule(run: Run, basis: Basis) -> SimulatedSchedule:
    """A schedule for a run without one: it was started by hand, or its schedule is no longer in the file."""
    spec = run.spec
    return SimulatedSchedule(
        name=f"{spec.spider} by hand",
        queue=spec.queue if spec.queue in basis.limits.queues else DEFAULT_QUEUE,
        priority=spec.priority,
        seconds=_run_seconds(None, spec.timeout, basis.assume),
        overlap=Overlap.ALLOW_ALL,
        limit=None,
    )


def _run(
    simulation: Simulation,
    schedules: Iterable[Schedule],
    simulated_schedules: Mapping[str, SimulatedSchedule],
    now: datetime,
    until: datetime,
) -> datetime:
    """Simulate all ticks, but at most ``MAX_TICKS``; return where the forecast ends."""
    schedules = tuple(schedules)
    for schedule in schedules:
        if schedule.jitter:
            _add_late_ticks(simulation, schedule, simulated_schedules[schedule.name], now)
    looked = 0
    for moment, group in coming(schedules, now):
        looked += len(group)
        if moment >= until or looked > MAX_TICKS:
            return min(moment, until)
        simulation.advance(_seconds(moment - now))
        for schedule in group:
            start = start_at(schedule, moment) if schedule.jitter else moment
            simulation.tick(_seconds(start - now), simulated_schedules[schedule.name])
    return until


def _add_late_ticks(
    simulation: Simulation, schedule: Schedule, simulated: SimulatedSchedule, now: datetime
) -> None:
    """Add the ticks before now whose start is delayed by jitter until after now."""
    assert schedule.trigger is not None
    tick = schedule.trigger.next_after(now - schedule.jitter)
    for _ in range(_MAX_LATE):
        if tick is None or tick > now:
            return
        if (start := start_at(schedule, tick)) > now:
            simulation.tick(_seconds(start - now), simulated)
        tick = schedule.trigger.next_after(tick)


def _hours(periods: Iterable[Period], now: datetime, until: datetime) -> Iterator[Hour]:
    for each in periods:
        begin, end = (now + second * SECOND for second in (each.begin, each.end))
        if begin < until:
            end = min(end, until)
            yield Hour(
                begin, end, each.starts, each.busy / _seconds(end - begin), each.peak, _sorted(each.short)
            )


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _piles(contentions: Iterable[Contention], limits: Limits, now: datetime) -> list[PileUp]:
    """The pile-ups, longest wait first. Those of the same schedules at the same limit become one."""
    groups: dict[tuple[str, tuple[str, ...]], list[Contention]] = {}
    for contention in contentions:
        groups.setdefault((contention.limit, _sorted(contention.names)), []).append(contention)
    piles = [
        PileUp(
            begin=now + min(contention.begin for contention in group) * SECOND,
            limit=limit,
            wanted=max(contention.wanted for contention in group),
            slots=slots_of(limit, limits),
            schedules=names,
            longest=max(contention.longest for contention in group) * SECOND,
            times=len(group),
        )
        for (limit, names), group in groups.items()
    ]
    return sorted(piles, key=lambda pile: (-pile.longest, pile.begin))


def slots_of(limit: str, limits: Limits) -> int:
    """Return how many runs the limit of this name allows at once."""
    return limits.max_concurrent_runs if limit == HUB else limits.queues[limit.removeprefix("queues.")]
