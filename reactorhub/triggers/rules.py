"""Triggers: the rules that say when a schedule is due. They read no clock: the caller gives the moment.

Every trigger is a frozen value, and ``next_after`` depends on its fields and the given moment only. So the
sequence of ticks is the same wherever it is resumed, and a restart cannot shift a schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Protocol

from reactorhub.triggers.durations import EPOCH, SECOND, duration_text
from reactorhub.triggers.wall_clock import utc_text


class Trigger(Protocol):
    """A rule that says when. Implementations are hashable, and equal if their fields are equal."""

    @property
    def kind(self) -> str:
        """Which rule it is: ``interval``, ``cron``, ``once`` or ``after``."""

    @property
    def text(self) -> str:
        """The rule as a person would write it."""

    @property
    def timezone(self) -> str | None:
        """The zone whose wall clock the rule reads; None if the rule does not depend on one."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick strictly after ``moment``, or None if there is none. Aware UTC in and out."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A tick every ``every``, counted from ``anchor``. An anchor in the future is the first tick.

    The default anchor is the epoch, not the start of the process: a hub that restarts every ten minutes still
    runs its six-hour schedules.

    :raises ValueError: if ``every`` is shorter than a second or ``anchor`` has no UTC offset.
    """

    every: timedelta
    anchor: datetime = EPOCH
    kind: ClassVar[str] = "interval"
    timezone: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        if self.every < SECOND:
            raise ValueError("an interval cannot be shorter than 1s; write a longer one")
        object.__setattr__(self, "anchor", _as_utc(self.anchor, "the anchor of an interval"))

    @property
    def text(self) -> str:
        """The duration, and the anchor unless it is the epoch."""
        every = duration_text(self.every)
        return every if self.anchor == EPOCH else f"{every} from {utc_text(self.anchor)}"

    def next_after(self, moment: datetime) -> datetime | None:
        if moment < self.anchor and self.anchor != EPOCH:
            return self.anchor
        try:
            return self.anchor + ((moment - self.anchor) // self.every + 1) * self.every
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True)
class Once:
    """A single tick.

    :raises ValueError: if ``moment`` has no UTC offset.
    """

    moment: datetime
    kind: ClassVar[str] = "once"
    timezone: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "moment", _as_utc(self.moment, "the time of a one-shot schedule"))

    @property
    def text(self) -> str:
        """The moment in RFC 3339 UTC."""
        return utc_text(self.moment)

    def next_after(self, moment: datetime) -> datetime | None:
        return self.moment if moment < self.moment else None


@dataclass(frozen=True, slots=True)
class After:
    """A tick whenever a run of one of the schedules ``upstream`` ends in one of ``states``.

    ``states`` are names of final states. The trigger has no ticks of its own.
    """

    upstream: tuple[str, ...]
    states: tuple[str, ...]
    kind: ClassVar[str] = "after"
    timezone: ClassVar[str | None] = None

    @property
    def text(self) -> str:
        """The names and the states, each joined by commas."""
        return f"{', '.join(self.upstream)}: {', '.join(self.states)}"

    def next_after(self, moment: datetime) -> datetime | None:
        return None


def _as_utc(moment: datetime, what: str) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{what} needs a UTC offset, as in 2026-12-01T08:00:00+01:00")
    return moment.astimezone(UTC)
