"""A run: its states and their transitions, its spec, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

from reactorhub.errors import IllegalTransition
from reactorhub.model.isolation import Isolate

DEFAULT_QUEUE = "default"


class RunState(str, Enum):
    """The state of a run. The comment says who moves a run into this state."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """When a run that ended badly is retried. Durations are in seconds.

    The first retry starts ``delay`` after the end. The delay of each further retry is ``backoff`` times as
    long, at most ``max_delay``. A random part of ``jitter`` is added to each delay.
    """

    max_retries: int = 2
    delay: float = 30.0
    backoff: float = 2.0
    max_delay: float = 600.0
    jitter: float = 0.0
    on: frozenset[RunState] = RETRIABLE  # the final states after which there is another attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """Everything that the requester of a run chose. Durations are in seconds.

    A run carries its own ``retry`` rule and its expectations (``expect``, as texts), so that no reload and no
    restart changes them. ``upstream`` is the id of the run whose end started this run.
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
    isolate: Isolate = Isolate.NONE
    memory_limit: int | None = None  # bytes that the process of an isolated run may use


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt to crawl, in its current state. Times are aware and in UTC."""

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
    pid: int | None = None  # of the process of an isolated run
    feeds: bool | None = None  # whether the project's own feeds took the items; None if nobody knows
    isolated_because: str | None = None  # why a run that may share the reactor has a process of its own
    key: str | None = None  # of the order, such as "inbox:order-17": two orders with one key are one run
    held: bool = False  # whether the run may not start yet, since another hub may take its order over

    @property
    def isolated(self) -> bool:
        """Whether the run has a process of its own. With ``isolate: auto`` this is decided when it starts."""
        return self.spec.isolate is Isolate.PROCESS or self.isolated_because is not None

    def moved(self, to: RunState, **changes: Any) -> Run:
        """Return this run in state ``to`` with ``changes`` applied. It is no longer held.

        :raises IllegalTransition: if ``TRANSITIONS`` has no way from the current state to ``to``.
        """
        if to not in TRANSITIONS[self.state]:
            raise IllegalTransition(f"run {self.id} is {self.state.value} and cannot become {to.value}")
        return replace(self, state=to, held=False, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlEnd:
    """The facts about a crawl that has ended, before any rule has judged them.

    ``failure`` is set when the crawl itself raised, ``lost`` when its process died before it could tell how
    the crawl went. ``errors`` counts the run's own records of level ERROR
    and above, ``exceptions`` those of them that carried an exception; ``error`` is the last one's last line.

    ``pages`` counts the responses that were passed to the spider, None where nobody has counted; ``refused``
    the requests that brought none, by what became of them: a status, a rule or a failed download. ``raised``
    counts those for which code of the project raised, by the exceptions' last lines. ``asked`` says
    whether the crawl made any request, and ``no_request_why`` why it made none, where its code shows that.
    ``unstored`` counts the items that were scraped and could not be stored; ``unstored_why`` is the cause.
    """

    failure: str | None = None
    lost: str | None = None
    finish_reason: str | None = None
    items: int = 0
    errors: int = 0
    exceptions: int = 0
    error: str | None = None
    pages: int | None = None
    refused: Mapping[str, int] = field(default_factory=dict)
    raised: Mapping[str, int] = field(default_factory=dict)
    asked: bool = True
    no_request_why: str | None = None
    unstored: int = 0
    unstored_why: str | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why the hub stops a crawl, and the final state of its run."""

    state: RunState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended, and the reason, a sentence that names the rule."""

    state: RunState
    reason: str
    error: str | None = None


RESERVED_ARGS = frozenset({"crawler", "name", "settings"})


def arg_name(name: str) -> str:
    """Return the name of a spider argument. Some names are reserved for Scrapy and the hub.

    :raises ValueError: if the name is reserved.
    """
    if not name or name in RESERVED_ARGS or name.startswith("_"):
        raise ValueError(f"{name!r} is reserved; give this argument another name")
    return name
