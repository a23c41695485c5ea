"""The pure rules "when": Interval, Cron, Once, After. No clock is read here: a moment in, a tick out.

Every trigger is a frozen value whose ``next_after`` is a function of its fields and the moment alone. So the
sequence of ticks is the same from wherever it is resumed, and a restart cannot move a schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Protocol

from reactorhub.triggers.durations import EPOCH, SECOND, duration_text, moment_text


class Trigger(Protocol):
    """A rule that says when. Its implementations are hashable and equal where their fields are."""

    @property
    def kind(self) -> str:
        """Which rule it is: ``interval``, ``cron``, ``once`` or ``after``."""

    @property
    def text(self) -> str:
        """The rule as a person would write it."""

    @property
    def timezone(self) -> str | None:
        """The zone whose wall clock the rule reads; None where none matters."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick strictly after ``moment``, or None if there is none. Aware UTC in and out."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A tick every ``every``, counted from ``anchor``; before a future anchor the first tick is the anchor.

    Anchored to the epoch unless told otherwise, never to the start of a process: a hub that restarts every
    ten minutes still runs its six-hour schedules.

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
        """The duration, and the anchor where it is not the epoch."""
        every = duration_text(self.every)
        return every if self.anchor == EPOCH else f"{every} from {moment_text(self.anchor)}"

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
        return moment_text(self.moment)

    def next_after(self, moment: datetime) -> datetime | None:
        return self.moment if moment < self.moment else None


@dataclass(frozen=True, slots=True)
class After:
    """No tick by itself: a run of one of the schedules ``upstream`` that ends in one of ``states``, the names
    of final states, brings one about."""

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
