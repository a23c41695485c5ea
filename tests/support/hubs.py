"""Builds hubs on doubles: a clock that tests turn, a ledger, a sink and an engine in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar, cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from reactorhub.config import HubConfig, parse
from reactorhub.containment.lag import LagMeter
from reactorhub.engine.scripted import MemoryDoctor, MemoryEngine, ScriptedCrawl
from reactorhub.events.memory import MemorySink
from reactorhub.events.publisher import EventPublisher
from reactorhub.hub.ended_runs import EndedRuns
from reactorhub.hub.hub import Hub
from reactorhub.hub.schedules import ScheduleViews
from reactorhub.hub.status import HubParts
from reactorhub.model.follow_up import FollowUp
from reactorhub.model.ids import IdMaker
from reactorhub.model.run import Run
from reactorhub.notifications.channels.memory import MemoryChannel
from reactorhub.notifications.notifier import Notifier
from reactorhub.notifications.reporter import IncidentReporter
from reactorhub.runs.dispatcher import Dispatcher
from reactorhub.runs.lifecycle import RunServices
from reactorhub.runs.slots import Slots
from reactorhub.schedules.auto_pause import AutoPause
from reactorhub.schedules.book import ScheduleBook
from reactorhub.storage.sqlite.memory import MemoryLedger

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

T = TypeVar("T")

SCHEDULES = """
hub:
  name: test
  max_concurrent_runs: 2
  queues: {heavy: 1}
  projects: {shop: {path: .}}
schedules:
  hourly: {spider: prices, interval: 1h}
  buffered: {spider: prices, interval: 1m, overlap: buffer_one}
  every: {spider: prices, interval: 1m, overlap: allow_all, queue: heavy}
  by_hand: {spider: report, args: {day: "7"}, tags: [daily]}
"""


def config(text: str = SCHEDULES) -> HubConfig:
    """Return the config that ``text`` says."""
    return parse(text, "schedule.yaml", {}, Path("/nowhere"), "test")


@contextmanager
def hub_log() -> Iterator[list[LogEvent]]:
    """Collect what is written to the hub's log meanwhile."""
    events: list[LogEvent] = []
    observer = cast(ILogObserver, events.append)
    globalLogPublisher.addObserver(observer)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(observer)


@dataclass
class HubHarness:
    """A hub on doubles, with its parts within reach. The wall clock follows ``clock``, ahead by ``step``."""

    config: HubConfig = field(default_factory=config)
    clock: Clock = field(default_factory=Clock)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    sink: MemorySink = field(default_factory=MemorySink)
    engine: MemoryEngine = field(default_factory=lambda: MemoryEngine({"shop": ["prices", "report"]}))
    channels: dict[str, MemoryChannel] = field(default_factory=dict)
    doctor: MemoryDoctor = field(default_factory=MemoryDoctor)
    step: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        new_id = IdMaker(self.now)
        self.publisher = EventPublisher(self.clock, self.now, self.sink, new_id)
        self.slots = Slots(self.clock, self.config.max_concurrent_runs, self.config.queues)
        self.notifier = Notifier(self.clock, self.now, self.ledger)
        self.notifier.use(self.channels)
        reporter = IncidentReporter(new_id, self.now, self.config.name, self.notifier.wake)
        self.services = RunServices(
            clock=self.clock,
            now=self.now,
            ledger=self.ledger,
            engine=self.engine,
            slots=self.slots,
            changed=self.publisher.run_changed,
        )
        self.book = ScheduleBook(self.ledger, self.now, self.clock, reporter)
        views = ScheduleViews(self.services, self.book, self.publisher)
        ended_runs = EndedRuns(
            self.ledger, self.publisher, views, AutoPause(self.ledger, self.book), self.now
        )
        self.on_ended = ended_runs.ended  # a test may put another function here
        self.dispatcher = Dispatcher(
            self.services,
            self.book,
            new_id,
            self.publisher.event,
            self.config.max_queued_runs,
            on_ended=self._run_ended,
            reporter=reporter,
        )
        self.parts = HubParts(
            services=self.services,
            dispatcher=self.dispatcher,
            book=self.book,
            views=views,
            ended_runs=ended_runs,
            publisher=self.publisher,
            sink=self.sink,
            lag=LagMeter(self.clock),
            notifier=self.notifier,
            doctor=self.doctor,
            new_id=new_id,
        )
        self.hub = Hub(self.config, self.parts, "0.0")

    def _run_ended(self, run: Run, follow_up: FollowUp) -> None:
        self.on_ended(run, follow_up)

    def now(self) -> datetime:
        """The wall clock."""
        return START + timedelta(seconds=self.clock.seconds()) + self.step

    def turn(self) -> None:
        """Let everything happen that needs no time: waiting runs get their slots, crawls begin."""
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def advance(self, seconds: float = 0.0) -> None:
        """Let so much time pass, in small steps."""
        self.clock.pump([0, *[seconds / 10] * 10])

    def begun(self, run_id: str) -> ScriptedCrawl:
        """Return the crawl of a run that has its slot."""
        self.turn()
        return next(crawl for crawl in self.engine.crawls if crawl.run_id == run_id)

    @property
    def crawling(self) -> list[ScriptedCrawl]:
        """The crawls that have not ended, oldest first."""
        return [crawl for crawl in self.engine.crawls if not crawl.done.called]

    def at_rest(self) -> bool:
        """Whether all slots are back and nothing is left to happen."""
        idle = not self.dispatcher.live_runs and self.slots.used == 0 and not self.slots.waiting
        return idle and not self.clock.getDelayedCalls()

    def events(self) -> list[str]:
        """The types of all events so far."""
        return [event["type"] for event in self.sink.events]
