"""The schedules in force, with their progress and pauses from the ledger."""

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
    """Return the changes when the schedules ``new`` replace ``old``."""
    same = {name: schedule == old[name] for name, schedule in new.items() if name in old}
    return Changes(
        added=tuple(name for name in new if name not in old),
        changed=tuple(name for name, unchanged in same.items() if not unchanged),
        removed=tuple(name for name in old if name not in new),
        unchanged=tuple(name for name, unchanged in same.items() if unchanged),
    )


class ScheduleBook:
    """Keeps the schedules in force and their progress. Changes are written to the ledger first.

    A lock serializes pauses and replacements. Without the lock, one of them could overwrite the progress that
    another has just written.
    """

    def __init__(
        self,
        ledger: Ledger,
        now: Callable[[], datetime],
        clock: IReactorTime,
        reporter: IncidentReporter | None = None,
    ) -> None:
        """:param reporter: makes the incident events of pauses."""
        self._reporter = reporter or IncidentReporter.nobody()
        self._ledger = ledger
        self._clock = clock
        self._now = now
        self._progress: dict[str, ScheduleProgress] = {}
        self._followers: dict[str, list[Schedule]] = {}
        self._one_at_a_time = DeferredLock()
        self.schedules: Mapping[str, Schedule] = {}

    async def open(self, schedules: Mapping[str, Schedule]) -> None:
        """Read the progress of all schedules from the ledger, then put ``schedules`` in force."""
        self._progress = await self._ledger.progress()
        await self.replace(schedules)

    async def replace(self, schedules: Mapping[str, Schedule]) -> Changes:
        """Put other schedules in force.

        A schedule that is new, or whose trigger was edited, owes no ticks from before now. The old schedules
        stay in force until the whole change is in the ledger.
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

        :raises UnknownSchedule: if there is no schedule of this name.
        """
        try:
            return self.schedules[name]
        except KeyError:
            raise UnknownSchedule(name) from None

    def entries(self) -> Iterable[tuple[Schedule, datetime]]:
        """Return each schedule with the time up to which its ticks are recorded."""
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
        """Note that the ledger has recorded a schedule's ticks up to ``nominal_time``.

        :param after: do nothing unless the progress has reached this time; None for always.
        """
        progress = self._progress.get(name)
        if progress is not None:
            self._progress[name] = progress.reached(nominal_time, self._now(), after)

    def followers(self, run: Run) -> list[Schedule]:
        """Return the schedules that follow the end of ``run``, in the file's order."""
        after = self._followers.get(run.spec.schedule or "", ())
        return [each for each in after if each.enabled and follows(each, run) and not self.is_over(each.name)]

    def count(self, name: str, by: int) -> None:
        """Add ``by`` to the runs that count towards a schedule's ``max_runs``, if it has that key."""
        progress = self._progress.get(name)
        if progress is not None and self.runs_left(name) is not None:
            self._progress[name] = replace(progress, runs=progress.runs + by)

    def runs_left(self, name: str) -> int | None:
        """Return how many more ticks of a schedule may become runs; None for no limit."""
        schedule, progress = self.schedules.get(name), self._progress.get(name)
        return None if schedule is None or progress is None else schedule.runs_left(progress.runs)

    def is_over(self, name: str) -> bool:
        """Return whether a schedule has used up its ``max_runs``."""
        return self.runs_left(name) == 0

    async def pause(self, name: str, reason: str | None) -> bool:
        """Skip a schedule's ticks until :meth:`resume`, even after a restart. False if it was paused."""
        return await self._set_paused(name, paused=True, paused_reason=reason)

    async def resume(self, name: str) -> bool:
        """Let a schedule's ticks run again, and reset its failures. Return False if it was not paused."""
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
    """Return the followers of each schedule, by the schedule's name."""
    found: dict[str, list[Schedule]] = {}
    for schedule in schedules:
        if isinstance(schedule.trigger, After):
            for name in schedule.trigger.upstream:
                found.setdefault(name, []).append(schedule)
    return found
