"""Wakes when ticks are due, asks the agenda for them, and passes them on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from heapq import heapify, heappop, heappush
from itertools import count

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.model.schedule import FAR_AHEAD, Schedule
from reactorhub.policies.agenda import Due, Missed, ScheduleAccount, upcoming
from reactorhub.policies.jitter import start_at
from reactorhub.triggers.durations import SECOND

BEAT = 1.0
"""The longest time between two readings of the wall clock, in seconds."""

SLICE = 100
"""The most ticks to pass on in one turn of the reactor. They share a ledger transaction."""

TURN = 0.01
"""Seconds to spend on ticks in one turn of the reactor; API calls are answered in between."""


class Scheduler:
    """Passes every tick on once, at its time, and reports missed ticks.

    A heartbeat of at most a second re-reads the wall clock, so that clock steps and suspends neither stall
    nor burst; a tick within the next second gets an exact timer. A tick has been passed on when the Deferred
    of ``on_due`` or ``on_missed`` fires. If that Deferred fails, a later heartbeat tries the tick again: the
    tick runs late, or is missed once its catch-up window is over, but is never forgotten. The ticks of one
    schedule are passed on in order, one slice at a time.

    If the wall clock steps back, no tick is passed on again: schedules rest until the clock has caught up.
    After a step of more than a day the schedules go back with the clock. Then the ledger's unique rows keep a
    tick from running twice, and ticks that were only missed run when their time comes.

    :param clock: the monotonic clock; all waiting is done on it.
    :param now: reads the wall clock, in aware UTC.
    :param on_due: receives a due tick, and the nominal time of the schedule's previous tick that is still in
        flight (None without one). The schedule's progress must not pass that tick, in case its write fails.
    :param on_missed: receives missed ticks, and the same time.
    :param busy: called with True when ticks are due, and with False once all due ticks were passed on.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], datetime],
        on_due: Callable[[Due, datetime | None], Deferred[None]],
        on_missed: Callable[[Missed, datetime | None], Deferred[None]],
        busy: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._now = now
        self._on_due = on_due
        self._on_missed = on_missed
        self._busy_told = busy
        self._is_busy = False
        self._beat = LoopingCall(self._retry)
        self._beat.clock = clock
        self._entries: dict[str, ScheduleAccount] = {}
        self._coming: list[tuple[datetime, str, int, ScheduleAccount]] = []
        self._number = count()
        self._ready: deque[ScheduleAccount] = deque()
        self._failed: list[ScheduleAccount] = []
        self._busy: set[str] = set()
        self._placed: IDelayedCall | None = None
        self._placed_for = now()
        self._turn: IDelayedCall | None = None
        self._budget = SLICE
        self._seen = now()
        self._idle: Deferred[None] | None = None

    def start(self, entries: Iterable[tuple[Schedule, datetime]]) -> None:
        """Start. Each schedule comes with the time up to which its ticks are recorded."""
        self._seen = self._now()
        self.set_entries(entries)
        self._beat.start(BEAT)

    def stop(self) -> Deferred[None]:
        """Pass on no more ticks. Fires when all ticks in flight have been recorded."""
        if self._beat.running:
            self._beat.stop()
        for call in (self._placed, self._turn):
            _cancel(call)
        self._placed = self._turn = None
        self._ready.clear()
        self._tell_busy()
        self._idle = Deferred() if self._busy else None
        return self._idle or succeed(None)

    def set_entries(self, entries: Iterable[tuple[Schedule, datetime]]) -> None:
        """Replace the schedules.

        A schedule whose trigger is unchanged keeps its next tick, to the microsecond; the time given here is
        for new schedules. A schedule that was disabled owes no ticks for that period. A new jitter applies at
        once, even to a tick that waits for its start.
        """
        former, self._entries, now = self._entries, {}, self._now()
        for schedule, accounted_until in entries:
            known = former.get(schedule.name)
            entry = self._known(known, schedule) or self._new(known, schedule, accounted_until, now)
            self._entries[schedule.name] = entry
        self._coming = [row for row in self._coming if self._current(row[-1]) and not row[-1].queued]
        heapify(self._coming)
        self._hurry()

    def next_times(self) -> dict[str, datetime | None]:
        """Return when the next tick of each schedule starts, by name; None if it has no next tick."""
        entries = self._entries.items()
        return {name: entry.next if entry.looked else self._guess(entry) for name, entry in entries}

    def _guess(self, entry: ScheduleAccount) -> datetime | None:
        coming = upcoming(entry.schedule, max(entry.accounted_until, self._now()), 1)
        return start_at(entry.schedule, coming[0]) if coming else None

    def _known(self, entry: ScheduleAccount | None, schedule: Schedule) -> ScheduleAccount | None:
        """Return the same entry with its new definition, or None if the definition moves its ticks."""
        if entry is None or entry.rule != (schedule.trigger, schedule.enabled):
            return None
        if entry.ticking and entry.schedule.jitter != schedule.jitter:
            entry.looked = False
            self._queue(entry)
        entry.schedule = schedule
        return entry

    def _new(
        self, former: ScheduleAccount | None, schedule: Schedule, accounted_until: datetime, now: datetime
    ) -> ScheduleAccount:
        enabled_again = former is not None and former.schedule.trigger == schedule.trigger
        entry = ScheduleAccount(
            schedule, now if enabled_again or accounted_until - now > FAR_AHEAD else accounted_until
        )
        if entry.ticking:
            self._queue(entry)
        return entry

    def _current(self, entry: ScheduleAccount) -> bool:
        return self._entries.get(entry.schedule.name) is entry

    def _queue(self, entry: ScheduleAccount) -> None:
        if not entry.queued:
            entry.queued = True
            self._ready.append(entry)

    def _retry(self) -> None:
        """Try again what failed before. This is the heartbeat: no error may stop it."""
        failed, self._failed = self._failed, []
        for entry in failed:
            self._queue(entry)
        maybeDeferred(self._look).addErrback(
            lambda failure: self.log.failure(
                "the scheduler has an error; it continues at the next heartbeat", failure
            )
        )

    def _look(self) -> None:
        """Queue every schedule that is due by the wall clock."""
        _cancel(self._placed)
        self._placed = None
        now = self._now()
        if self._seen - now > SECOND:
            self._turn_back(now)
        self._seen = now
        while self._coming and self._coming[0][0] <= now:
            self._queue(heappop(self._coming)[-1])
        self._tell_busy()
        self._hand_out()

    def _turn_back(self, now: datetime) -> None:
        self.log.warn(
            "the wall clock was set back by {seconds} seconds", seconds=(self._seen - now).total_seconds()
        )
        for name, entry in self._entries.items():
            if entry.ticking and entry.reach - now > FAR_AHEAD:
                # A new account, since ticks in flight in the old one belong to a time that has not come yet.
                self._entries[name] = ScheduleAccount(entry.schedule, min(entry.accounted_until, now))
                self._queue(self._entries[name])
        self._coming = [row for row in self._coming if self._current(row[-1])]
        heapify(self._coming)

    def _hand_out(self) -> None:
        """Work on the queued schedules for one turn of the reactor."""
        _cancel(self._turn)
        self._turn, self._budget, until = None, SLICE, self._clock.seconds() + TURN
        while self._ready and self._budget > 0 and self._clock.seconds() < until:
            entry = self._ready.popleft()
            entry.queued = False
            if self._current(entry):
                maybeDeferred(self._begin, entry).addErrback(self._stumbled, entry)
        self._tell_busy()
        self._hurry()
        self._place()

    def _tell_busy(self) -> None:
        if self._is_busy != bool(self._ready):
            self._is_busy = bool(self._ready)
            self._busy_told(self._is_busy)

    def _hurry(self) -> None:
        """Continue in the next turn of the reactor if a schedule is queued."""
        if self._ready and self._beat.running and self._turn is None:
            self._turn = self._clock.callLater(0, self._hand_out)

    def _begin(self, entry: ScheduleAccount) -> Deferred[None] | None:
        """Pass on one slice of the ticks that a schedule owes."""
        name = entry.schedule.name
        if name in self._busy:
            self._failed.append(entry)
            return None
        if not entry.owed:
            entry.look(self._now())
        self._budget -= max(1, min(len(entry.owed), SLICE))
        if not entry.owed:
            self._rest(entry)
            return None
        ticks = entry.take(SLICE)
        self._busy.add(name)
        before = [None, *(tick.last for tick in ticks)]
        handed = DeferredList([self._hand_on(entry, *each) for each in zip(ticks, before, strict=False)])
        return handed.addCallback(lambda results: self._settle(entry, ticks, [well for _, well in results]))

    def _hand_on(self, entry: ScheduleAccount, tick: Due | Missed, after: datetime | None) -> Deferred[bool]:
        if isinstance(tick, Due):
            handed = maybeDeferred(self._on_due, tick, after)
        else:
            handed = maybeDeferred(self._on_missed, tick, after)
        return handed.addCallbacks(lambda _: True, self._refused, errbackArgs=(entry, tick))

    def _refused(self, failure: Failure, entry: ScheduleAccount, tick: Due | Missed) -> bool:
        if not entry.failing:
            message = "{schedule}: the tick of {nominal_time} could not be recorded and will be tried again"
            self.log.failure(message, failure, schedule=entry.schedule.name, nominal_time=tick.nominal_time)
        entry.failing = True
        return False

    def _stumbled(self, failure: Failure, entry: ScheduleAccount) -> None:
        self.log.failure(
            "{schedule}: the next ticks could not be computed and will be tried again",
            failure,
            schedule=entry.schedule.name,
        )
        self._failed.append(entry)

    def _settle(self, entry: ScheduleAccount, ticks: list[Due | Missed], done: list[bool]) -> None:
        """Finish a slice: continue, rest until the next tick, or try again at the next heartbeat."""
        self._busy.discard(entry.schedule.name)
        if not entry.settle(ticks, done):
            entry.owed = ()
            self._failed.append(entry)
        else:
            entry.failing = False
            (self._queue if entry.owed else self._rest)(entry)
        self._hurry()
        self._place()
        if self._idle is not None and not self._busy:
            idle, self._idle = self._idle, None
            idle.callback(None)

    def _rest(self, entry: ScheduleAccount) -> None:
        if entry.next is not None and self._current(entry):
            heappush(self._coming, (entry.next, entry.schedule.name, next(self._number), entry))

    def _place(self) -> None:
        """Set a timer for the next tick if it is due before the next heartbeat."""
        if not self._coming or not self._beat.running:
            return
        if self._placed is not None and self._placed_for <= self._coming[0][0]:
            return
        _cancel(self._placed)
        self._placed_for = self._coming[0][0]
        delay = (self._placed_for - self._now()).total_seconds()
        self._placed = self._clock.callLater(max(delay, 0), self._look) if delay < BEAT else None


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
