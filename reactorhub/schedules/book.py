"""The schedules in force and what the ledger remembers of them: since when, and whether they are paused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from reactorhub.errors import UnknownSchedule
from reactorhub.model.run import Run
from reactorhub.model.schedule import Schedule, ScheduleProgress
from reactorhub.notifications.reporter import IncidentReporter
from reactorhub.policies.chains import follows
from reactorhub.policies.fingerprint import fingerprint
from reactorhub.schedules.cooperative import cooperatively
from reactorhub.storage.ledger import Ledger
from reactorhub.triggers.rules import After


@dataclass(frozen=True, slots=True)
class Changes:
    """What a new schedule file changes, by schedule name."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]


def compare(old: Mapping[str, Schedule], new: Mapping[str, Schedule]) -> Changes:
    """Return what becomes of the schedules ``old`` when ``new`` take their place."""
    same = {name: schedule == old[name] for name, schedule in new.items() if name in old}
    return Changes(
        added=tuple(name for name in new if name not in old),
        changed=tuple(name for name, unchanged in same.items() if not unchanged),
        removed=tuple(name for name in old if name not in new),
        unchanged=tuple(name for name, unchanged in same.items() if unchanged),
    )


class ScheduleBook:
    """Keeps schedules and marks together; every change of a mark is in the ledger before it holds.

    Pauses and other schedules come one after the other, so that none writes down a mark as it was before
    another one.
    """

    def __init__(
        self,
        ledger: Ledger,
        now: Callable[[], datetime],
        clock: IReactorTime,
        reporter: IncidentReporter | None = None,
    ) -> None:
        """:param facts: says what people are to be told of pauses."""
        self._reporter = reporter or IncidentReporter.nobody()
        self._ledger = ledger
        self._clock = clock
        self._now = now
        self._progress: dict[str, ScheduleProgress] = {}
        self._followers: dict[str, list[Schedule]] = {}
        self._one_at_a_time = DeferredLock()
        self.schedules: Mapping[str, Schedule] = {}

    async def open(self, schedules: Mapping[str, Schedule]) -> None:
        """Take up what the ledger remembers, then put ``schedules`` in force."""
        self._progress = await self._ledger.progress()
        await self.replace(schedules)

    async def replace(self, schedules: Mapping[str, Schedule]) -> Changes:
        """Put other schedules in force.

        A schedule that is new, or whose "when" was edited, counts from now on: neither is retroactive. The
        former ones stay in force until all of the change is in the ledger.
        """
        async with self._one_at_a_time:
            return await self._replace(schedules)

    async def _replace(self, schedules: Mapping[str, Schedule]) -> Changes:
        changes = compare(self.schedules, schedules)
        touched = [schedules[name] for name in (*changes.added, *changes.changed)]
        prints = [(each.name, fingerprint(each)) async for each in cooperatively(self._clock, touched)]
        moment = self._now()
        fresh = [self._new_progress(name, text, moment) for name, text in prints if self._is_new(name, text)]
        gone = [name for name in self._progress if name not in schedules]
        await self._ledger.set_progress(fresh, gone)
        self._progress = {name: progress for name, progress in self._progress.items() if name in schedules}
        self._progress.update({progress.name: progress for progress in fresh})
        self.schedules = dict(schedules)
        self._followers = _by_upstream(schedules.values())
        return changes

    def get(self, name: str) -> Schedule:
        """Return the schedule of this name.

        :raises UnknownSchedule: if there is none.
        """
        try:
            return self.schedules[name]
        except KeyError:
            raise UnknownSchedule(name) from None

    def entries(self) -> Iterable[tuple[Schedule, datetime]]:
        """Return each schedule with the moment after which its ticks are to be accounted for."""
        return [(schedule, self._progress[name].accounted_until) for name, schedule in self.schedules.items()]

    def paused(self, name: str) -> str | None:
        """Return why a schedule is paused, or None if it is not."""
        progress = self._progress.get(name)
        return None if progress is None else progress.why_paused

    def all_paused(self) -> list[str]:
        """Return the names of the schedules that are paused, in the file's order."""
        return [name for name in self.schedules if self.paused(name) is not None]

    def resumed_at(self, name: str) -> datetime | None:
        """Return when a schedule was last resumed."""
        progress = self._progress.get(name)
        return None if progress is None else progress.resumed_at

    def advance(self, name: str, nominal_time: datetime, after: datetime | None = None) -> None:
        """Note that the ledger has accounted for a schedule's tick, and with it for all up to this one.

        :param after: how far it must have accounted before; if it has not, nothing is noted.
        """
        progress = self._progress.get(name)
        if progress is not None:
            self._progress[name] = progress.reached(nominal_time, self._now(), after)

    def followers(self, run: Run) -> list[Schedule]:
        """Return the schedules that run now that a run has ended for good, in the file's order."""
        after = self._followers.get(run.spec.schedule or "", ())
        return [each for each in after if each.enabled and follows(each, run) and not self.is_over(each.name)]

    def count(self, name: str, by: int) -> None:
        """Note that a tick has become a run, or with -1 that it has not after all, where that matters."""
        progress = self._progress.get(name)
        if progress is not None and self.runs_left(name) is not None:
            self._progress[name] = replace(progress, runs=progress.runs + by)

    def runs_left(self, name: str) -> int | None:
        """Return how many of a schedule's ticks may still become runs; None for any number."""
        schedule, progress = self.schedules.get(name), self._progress.get(name)
        return None if schedule is None or progress is None else schedule.runs_left(progress.runs)

    def is_over(self, name: str) -> bool:
        """Whether a schedule has run as often as it may, and has no ticks any more."""
        return self.runs_left(name) == 0

    async def pause(self, name: str, reason: str | None) -> bool:
        """Skip this schedule's ticks until :meth:`resume`, restarts included; False if it was so already."""
        return await self._set_paused(name, paused=True, paused_reason=reason)

    async def resume(self, name: str) -> bool:
        """Let this schedule's ticks run again, and forget its failures; False if they ran already."""
        return await self._set_paused(name, paused=False, paused_reason=None, resumed_at=self._now())

    async def _set_paused(self, name: str, **changes: Any) -> bool:
        async with self._one_at_a_time:
            schedule, changed = self.get(name), replace(self._progress[name], **changes)
            why, reporter = changed.why_paused, self._reporter
            incident_event = reporter.resumed(schedule) if why is None else reporter.paused(schedule, why)
            await self._ledger.set_progress([changed], incident_event=incident_event)
            reporter.kept(incident_event)
            before = self._progress[name]  # read again: ticks may have advanced it during the write
            self._progress[name] = replace(before, **changes)
            return before.paused != changed.paused

    def _is_new(self, name: str, rule: str) -> bool:
        progress = self._progress.get(name)
        return progress is None or progress.fingerprint != rule

    def _new_progress(self, name: str, rule: str, moment: datetime) -> ScheduleProgress:
        old = self._progress.get(name)
        if old is not None:
            return replace(old, fingerprint=rule, accounted_until=moment, runs=0)
        return ScheduleProgress(name=name, fingerprint=rule, accounted_until=moment)


def _by_upstream(schedules: Iterable[Schedule]) -> dict[str, list[Schedule]]:
    """Return by name of a schedule those that run after it."""
    found: dict[str, list[Schedule]] = {}
    for schedule in schedules:
        if isinstance(schedule.trigger, After):
            for name in schedule.trigger.upstream:
                found.setdefault(name, []).append(schedule)
    return found
