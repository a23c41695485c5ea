"""A schedule, its ticks, and its progress."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from reactorhub.model.notification import NotifyRule
from reactorhub.model.run import RunSpec
from reactorhub.triggers.rules import Trigger

BY_OPERATOR = "by an operator"
"""The reason of a pause for which nobody gave a reason."""

FAR_AHEAD = timedelta(days=1)
"""If progress lies further ahead of the clock than this, an earlier clock was wrong."""


class Overlap(str, Enum):
    """What happens to a due tick while an earlier run of the same schedule is not final.

    The names are those of Temporal's schedule overlap policies.
    """

    SKIP = "skip"  # the tick is skipped
    BUFFER_ONE = "buffer_one"  # one run waits for the earlier one; further ticks are skipped
    BUFFER_ALL = "buffer_all"  # every tick becomes a run; the runs wait for each other
    CANCEL_OTHER = "cancel_other"  # the earlier run is cancelled, and the new run waits for its end
    ALLOW_ALL = "allow_all"  # every tick becomes a run


class Catchup(str, Enum):
    """Which of the ticks that the hub missed while it was down still run."""

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
    """A named entry of the schedule file. ``trigger`` is None if the schedule only runs by hand.

    ``max_instances`` limits its unfinished runs. None means one, or no limit under ``allow_all``. The
    schedule is paused after ``pause_on_failure`` failures in a row; None means never. The schedule ends after
    ``max_runs`` of its ticks have become runs; None means that it never ends.
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
        """How many more ticks may become runs after ``runs`` have; None for any number."""
        return None if self.max_runs is None else max(0, self.max_runs - runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The ledger's row for one nominal time of one schedule: what became of the tick, and why.

    A row can stand for several missed ticks. Then ``until`` is the nominal time of the last one.
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

    All ticks up to ``accounted_until`` are accounted for. ``fingerprint`` identifies the trigger: after an
    edit the progress starts again, because an edit is not retroactive. Failures before ``resumed_at`` no
    longer count. ``runs`` is the number of ticks that have become runs.
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
        """Return the progress moved forward to ``moment``. It moves back only if it is far ahead of ``now``.

        :param after: the progress moves only if it has reached this moment.
        """
        misled = self.accounted_until - now > FAR_AHEAD
        if after is not None and (misled or self.accounted_until < after):
            return self
        return replace(self, accounted_until=moment if misled else max(self.accounted_until, moment))


def at_once(schedule: Schedule) -> int | None:
    """Return how many unfinished runs a schedule may have at once; None for any number."""
    if schedule.max_instances is None and schedule.overlap is not Overlap.ALLOW_ALL:
        return 1
    return schedule.max_instances
