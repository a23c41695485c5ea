"""What the end of a run brings about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from reactorhub.model.notification import IncidentEvent
from reactorhub.model.run import Run, Stop
from reactorhub.model.schedule import Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedTick:
    """A tick that the end of another run has brought about, and its run; None where it was skipped."""

    tick: Tick
    run: Run | None

    def later(self) -> ChainedTick:
        """Return the same a microsecond later, where another run has ended in the same instant."""
        moment = self.tick.nominal_time + timedelta(microseconds=1)
        spec = None if self.run is None else replace(self.run.spec, nominal_time=moment)
        run = None if self.run is None or spec is None else replace(self.run, spec=spec)
        return ChainedTick(tick=replace(self.tick, nominal_time=moment), run=run)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """What the end of a run brings about. It is written down with that end, or the end is not either.

    ``attempt`` is the next attempt, ``starts`` are ticks of the schedules that come after this one, and
    ``completion`` is the run that its batch asked for, which is kept only if this end completes the batch:
    then ``completes`` says so. ``fact`` is what people may have to be told of.
    """

    attempt: Run | None = None
    starts: tuple[ChainedTick, ...] = ()
    completion: Run | None = None
    completes: bool = False
    incident_event: IncidentEvent | None = None

    @property
    def runs(self) -> tuple[Run, ...]:
        """All the runs in it."""
        started = (start.run for start in self.starts)
        return tuple(run for run in (self.attempt, *started, self.completion) if run is not None)


NO_FOLLOW_UP = FollowUp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the hub is done with a run: the run as it stands, and what its end brings about.

    The run is final, unless the hub stopped before the run had its slot: then it stays queued in the ledger.
    ``late_cancel`` is an order to cancel that came too late for this run. It applies to the next attempt.
    """

    run: Run
    follow_up: FollowUp = NO_FOLLOW_UP
    late_cancel: Stop | None = None
