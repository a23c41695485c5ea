"""The nouns of the hub as frozen values, and the one table of what a run may become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from reactorhub.alerts import Fact, NotifyRule
from reactorhub.errors import IllegalTransition
from reactorhub.triggers import Trigger

DEFAULT_QUEUE = "default"

BY_OPERATOR = "by an operator"
"""Why a schedule is paused where nobody has said why."""

FAR_AHEAD = timedelta(days=1)
"""A schedule accounted for further ahead than this was misled by a clock that has been put right."""


class RunState(str, Enum):
    """Where a run is in its life. Beside each state: who moves a run into it."""

    QUEUED = "queued"  # hub.submit, once the run is on disk
    STARTING = "starting"  # the dispatcher, once the run has its slot
    RUNNING = "running"  # the dispatcher, when the engine says that the spider has opened
    STOPPING = "stopping"  # the dispatcher, on cancel, timeout or shutdown
    SUCCEEDED = "succeeded"  # the outcome rule
    FAILED = "failed"  # the outcome rule
    CANCELLED = "cancelled"  # an operator's cancel
    TIMED_OUT = "timed_out"  # the run's own timeout
    INTERRUPTED = "interrupted"  # shutdown, or recovery after the process died

    @property
    def final(self) -> bool:
        """Whether a run in this state never changes again."""
        return not TRANSITIONS[self]

    @property
    def active(self) -> bool:
        """Whether a run in this state holds a slot."""
        return self in ACTIVE


FINAL = frozenset(
    {
        RunState.SUCCEEDED,
        RunState.FAILED,
        RunState.CANCELLED,
        RunState.TIMED_OUT,
        RunState.INTERRUPTED,
    }
)
RETRIABLE = frozenset({RunState.FAILED, RunState.TIMED_OUT, RunState.INTERRUPTED})
UNFINISHED = frozenset(RunState) - FINAL
ACTIVE = frozenset({RunState.STARTING, RunState.RUNNING, RunState.STOPPING})
TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.STARTING, RunState.CANCELLED}),
    RunState.STARTING: frozenset({RunState.RUNNING, RunState.STOPPING}) | FINAL,
    RunState.RUNNING: frozenset({RunState.STOPPING}) | FINAL,
    RunState.STOPPING: FINAL,
    **{state: frozenset() for state in FINAL},
}


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
class RetryRule:
    """When a run that ended badly is tried again. Durations are seconds.

    The first retry comes ``delay`` after the end, each further one ``backoff`` times as long after its own,
    at most ``max_delay``; up to ``jitter`` is added to that.
    """

    max_retries: int = 2
    delay: float = 30.0
    backoff: float = 2.0
    max_delay: float = 600.0
    jitter: float = 0.0
    on: frozenset[RunState] = RETRIABLE  # the final states after which there is another attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What a run is meant to be: everything its requester chose. Durations are seconds.

    A run carries its own ``retry`` rule and what is ``expect``-ed of it, as texts, so that no reload and no
    restart changes what is still owed. ``upstream`` is the id of the run whose end started it.
    """

    spider: str
    project: str
    args: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    timeout: float | None = None
    stop_grace: float = 30.0
    not_before: datetime | None = None
    tags: tuple[str, ...] = ()
    schedule: str | None = None
    nominal_time: datetime | None = None
    attempt: int = 1
    retry_of: str | None = None
    batch: str | None = None
    retry: RetryRule | None = None
    expect: Mapping[str, Any] = field(default_factory=dict)
    upstream: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt to crawl, as it stands now. Times are aware UTC."""

    id: str
    spec: RunSpec
    created_at: datetime
    state: RunState = RunState.QUEUED
    reason: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    finish_reason: str | None = None
    errors: int | None = None
    error: str | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)

    def moved(self, to: RunState, **changes: Any) -> Run:
        """Return this run in state ``to`` with ``changes`` applied.

        :raises IllegalTransition: if the table does not lead from the present state to ``to``.
        """
        if to not in TRANSITIONS[self.state]:
            raise IllegalTransition(f"run {self.id} is {self.state.value} and cannot become {to.value}")
        return replace(self, state=to, **changes)


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
class Start:
    """A tick that the end of another run has brought about, and its run; None where it was skipped."""

    tick: Tick
    run: Run | None

    def later(self) -> Start:
        """Return the same a microsecond later, where another run has ended in the same instant."""
        moment = self.tick.nominal_time + timedelta(microseconds=1)
        spec = None if self.run is None else replace(self.run.spec, nominal_time=moment)
        run = None if self.run is None or spec is None else replace(self.run, spec=spec)
        return Start(tick=replace(self.tick, nominal_time=moment), run=run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequel:
    """What the end of a run brings about. It is written down with that end, or the end is not either.

    ``attempt`` is the next attempt, ``starts`` are ticks of the schedules that come after this one, and
    ``completion`` is the run that its batch asked for, which is kept only if this end completes the batch:
    then ``completes`` says so. ``fact`` is what people may have to be told of.
    """

    attempt: Run | None = None
    starts: tuple[Start, ...] = ()
    completion: Run | None = None
    completes: bool = False
    fact: Fact | None = None

    @property
    def runs(self) -> tuple[Run, ...]:
        """All the runs in it."""
        started = (start.run for start in self.starts)
        return tuple(run for run in (self.attempt, *started, self.completion) if run is not None)


NO_SEQUEL = Sequel()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Runs that were ordered together. It is done at ``finished_at``, when the last of them is final.

    ``on_complete`` is what its requester wants then, as JSON values; ``completion`` the id of the run that
    came of it.
    """

    id: str
    created_at: datetime
    on_complete: Mapping[str, Any] = field(default_factory=dict)
    finished_at: datetime | None = None
    completion: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleMark:
    """What the ledger remembers of a schedule between starts of the hub.

    ``since`` is the moment after which its ticks are still to be accounted for. ``fingerprint`` tells
    whether its trigger is still the one that ``since`` was kept for: an edit is not retroactive. Failures
    before ``resumed_at`` no longer count. ``runs`` is how many of its ticks have become runs.
    """

    name: str
    fingerprint: str
    since: datetime
    paused: bool = False
    paused_reason: str | None = None
    resumed_at: datetime | None = None
    runs: int = 0

    @property
    def why_paused(self) -> str | None:
        """Why the schedule is paused; None if it is not."""
        return (self.paused_reason or BY_OPERATOR) if self.paused else None

    def reached(self, moment: datetime, now: datetime, after: datetime | None = None) -> ScheduleMark:
        """Return this mark with ``since`` moved on to ``moment``; back only if it is far ahead of ``now``.

        :param after: another moment that is to be reached before; without that the mark stays where it is.
        """
        misled = self.since - now > FAR_AHEAD
        if after is not None and (misled or self.since < after):
            return self
        return replace(self, since=moment if misled else max(self.since, moment))


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlEnd:
    """The facts about a crawl that has ended, before any rule has judged them.

    ``failure`` is set when the crawl itself raised. ``errors`` counts the run's own records of level ERROR
    and above, ``exceptions`` those of them that carried an exception; ``error`` is the last one's last line.
    """

    failure: str | None = None
    finish_reason: str | None = None
    items: int = 0
    errors: int = 0
    exceptions: int = 0
    error: str | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a crawl was told to stop, and the final state this leads to."""

    state: RunState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended, and the sentence that says which rule decided."""

    state: RunState
    reason: str
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiderInfo:
    """A spider that can run. ``arguments`` are the names its ``__init__`` takes."""

    name: str
    project: str
    docstring: str | None
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenModule:
    """A spider module that failed to import, with its traceback."""

    project: str
    module: str
    error: str
    traceback: str
