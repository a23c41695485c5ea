"""A schedule, its ticks, and what is remembered of it between starts of the hub."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from reactorhub.model.notification import NotifyRule
from reactorhub.model.run import RunSpec
from reactorhub.triggers.rules import Trigger

BY_OPERATOR = "by an operator"
"""Why a schedule is paused where nobody has said why."""

FAR_AHEAD = timedelta(days=1)
"""A schedule accounted for further ahead than this was misled by a clock that has been put right."""


class Overlap(str, Enum):
    """What happens to a due tick while an earlier run of the same schedule is not final.

    The names are those of Temporal's schedule overlap policies.
    """

    SKIP = "skip"  # the tick is skipped
    BUFFER_ONE = "buffer_one"  # one run waits for the earlier one; further ticks are skipped
    BUFFER_ALL = "buffer_all"  # every tick becomes a run, which waits for its turn
    CANCEL_OTHER = "cancel_other"  # the earlier run is cancelled, and the tick's own waits for its end
    ALLOW_ALL = "allow_all"  # every tick becomes a run


class Catchup(str, Enum):
    """Which of the ticks that came due while the hub was down still run."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class TickOutcome(str, Enum):
    """What became of a tick."""

    RUN = "run"
    SKIPPED = "skipped"
    MISSED = "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A named entry of the schedule file. ``trigger`` is None for one that only runs by hand.

    ``max_instances`` is how many of its runs may go on at once: None stands for one, or under ``allow_all``
    for any number. After ``pause_on_failure`` failures in a row it is paused; None stands for never. It is
    over once ``max_runs`` of its ticks have become runs; None stands for no such end.
    """

    name: str
    spec: RunSpec
    trigger: Trigger | None = None
    overlap: Overlap = Overlap.SKIP
    max_instances: int | None = None
    pause_on_failure: int | None = None
    max_runs: int | None = None
    catchup: Catchup = Catchup.LATEST
    catchup_window: timedelta = timedelta(minutes=10)
    max_catchup: int = 100
    jitter: timedelta = timedelta()
    enabled: bool = True
    run_on_start: bool = False
    notify: NotifyRule | None = None

    def runs_left(self, runs: int) -> int | None:
        """How many more of its ticks may become runs after so many have; None for any number."""
        return None if self.max_runs is None else max(0, self.max_runs - runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The ledger's row for one nominal fire time of one schedule: what became of it and why.

    ``until`` is set on a row that stands for several missed ticks: the nominal time of the last one.
    """

    schedule: str
    nominal_time: datetime
    outcome: TickOutcome
    reason: str | None
    run_id: str | None
    recorded_at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleProgress:
    """What the ledger remembers of a schedule between starts of the hub.

    ``since`` is the moment after which its ticks are still to be accounted for. ``fingerprint`` tells
    whether its trigger is still the one that ``since`` was kept for: an edit is not retroactive. Failures
    before ``resumed_at`` no longer count. ``runs`` is how many of its ticks have become runs.
    """

    name: str
    fingerprint: str
    accounted_until: datetime
    paused: bool = False
    paused_reason: str | None = None
    resumed_at: datetime | None = None
    runs: int = 0

    @property
    def why_paused(self) -> str | None:
        """Why the schedule is paused; None if it is not."""
        return (self.paused_reason or BY_OPERATOR) if self.paused else None

    def reached(self, moment: datetime, now: datetime, after: datetime | None = None) -> ScheduleProgress:
        """Return this mark with ``since`` moved on to ``moment``; back only if it is far ahead of ``now``.

        :param after: another moment that is to be reached before; without that the mark stays where it is.
        """
        misled = self.accounted_until - now > FAR_AHEAD
        if after is not None and (misled or self.accounted_until < after):
            return self
        return replace(self, accounted_until=moment if misled else max(self.accounted_until, moment))


def at_once(schedule: Schedule) -> int | None:
    """Return how many runs of a schedule may go on at once; None for any number."""
    if schedule.max_instances is None and schedule.overlap is not Overlap.ALLOW_ALL:
        return 1
    return schedule.max_instances
