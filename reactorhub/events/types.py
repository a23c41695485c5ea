"""The types of events that programs can listen to. docs/redis.md describes each of them."""

from __future__ import annotations

from enum import Enum

from reactorhub.model.run import RunState
from reactorhub.model.schedule import TickOutcome


class EventType(str, Enum):
    """The ``type`` of an event."""

    RUN_QUEUED = "run.queued"
    RUN_STARTING = "run.starting"
    RUN_RUNNING = "run.running"
    RUN_STOPPING = "run.stopping"
    RUN_FINISHED = "run.finished"
    TICK_SKIPPED = "tick.skipped"
    TICK_MISSED = "tick.missed"
    BATCH_FINISHED = "batch.finished"
    SCHEDULE_PAUSED = "schedule.paused"
    SCHEDULE_RESUMED = "schedule.resumed"
    CONFIG_RELOADED = "config.reloaded"
    CONFIG_REJECTED = "config.rejected"
    CODE_RELOADED = "code.reloaded"
    LIMITS_CHANGED = "limits.changed"
    REACTOR_STALLED = "reactor.stalled"

    @classmethod
    def of_run(cls, state: RunState) -> EventType:
        """Return the type of the event for a run that has reached ``state``."""
        return cls.RUN_FINISHED if state.final else cls(f"run.{state.value}")

    @classmethod
    def of_tick(cls, outcome: TickOutcome) -> EventType:
        """Return the type of the event for a tick that was skipped or missed.

        :raises ValueError: if it runs: the events of its run say so.
        """
        return cls(f"tick.{outcome.value}")
