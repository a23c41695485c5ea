"""The views of schedules: definition, next ticks, pause and last run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from reactorhub.events.publisher import EventPublisher
from reactorhub.events.types import EventType
from reactorhub.model.run import Run
from reactorhub.model.schedule import Schedule
from reactorhub.model.values import View
from reactorhub.policies.agenda import upcoming
from reactorhub.runs.lifecycle import RunServices
from reactorhub.schedules.book import ScheduleBook
from reactorhub.schedules.cooperative import cooperatively
from reactorhub.storage.ledger import RunFilter
from reactorhub.wire.views import schedule_view


class ScheduleViews:
    """Builds the views from the schedule book and the ledger."""

    def __init__(self, services: RunServices, book: ScheduleBook, publisher: EventPublisher) -> None:
        self._services = services
        self._book = book
        self._publisher = publisher

    async def all(self) -> AsyncIterator[View]:
        """Yield the views of all schedules, in the file's order, over several turns of the reactor.

        All views are of the same file, even if a reload happens meanwhile.
        """
        schedules, last = self._book.schedules, await self._services.ledger.last_runs()
        async for each in cooperatively(self._services.clock, schedules.values()):
            yield self._view(each, last.get(each.name))

    async def one(self, name: str) -> View:
        """Return a schedule's view.

        :raises UnknownSchedule: if there is no schedule of this name.
        """
        schedule = self._book.get(name)
        newest = await self._services.ledger.runs(RunFilter(schedule=name), 1)
        return self._view(schedule, next(iter(newest.rows), None))

    async def announced(self, kind: EventType, name: str, changed: bool) -> View:
        """Return a schedule's view, and publish the view as an event if ``changed``.

        :param kind: the type of the event.
        """
        view = await self.one(name)
        if changed:
            self._publisher.event(kind, {"schedule": view})
        return view

    def upcoming(self, schedule: Schedule, after: datetime | None, count: int) -> tuple[datetime, ...]:
        """Return a schedule's next nominal times; none once its ``max_runs`` is used up."""
        over = self._book.is_over(schedule.name)
        return () if over else upcoming(schedule, after or self._services.now(), count)

    def _view(self, schedule: Schedule, last: Run | None) -> View:
        paused = self._book.paused(schedule.name)
        after = self.upcoming(schedule, None, 3) if schedule.enabled else ()
        left = self._book.runs_left(schedule.name)
        return schedule_view(schedule, after, paused is not None, paused, last_run=last, runs_left=left)
