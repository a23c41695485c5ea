"""Publishes to the sink: events at once, snapshots of live runs and of the hub at an interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from reactorhub.events.sink import Sink
from reactorhub.events.types import EventType
from reactorhub.model.run import Run
from reactorhub.model.values import View
from reactorhub.wire.views import event_view, run_view


class LiveRun(Protocol):
    """The parts of a live run that are published."""

    @property
    def run(self) -> Run:
        """The run in its current state."""

    @property
    def crawl(self) -> object | None:
        """The run's crawl, or None."""

    def stats(self) -> Mapping[str, Any]:
        """Return the current stats."""

    def errors(self) -> int | None:
        """Return the number of errors so far; None if it is not known."""


class EventPublisher:
    """Builds events and snapshots and passes them to the sink. Nothing else publishes."""

    log = Logger()

    def __init__(
        self, clock: IReactorTime, now: Callable[[], datetime], sink: Sink, new_id: Callable[[], str]
    ) -> None:
        self._now = now
        self._sink = sink
        self._new_id = new_id
        self._live_runs: Callable[[], Iterable[LiveRun]] = tuple
        self._hub_view: Callable[[], View] = dict
        self._loop = LoopingCall(self._sample)
        self._loop.clock = clock

    def start(
        self, live_runs: Callable[[], Iterable[LiveRun]], hub_view: Callable[[], View], every: float = 2.0
    ) -> None:
        """Send snapshots of all live crawls and of the hub at once, and again every ``every`` seconds."""
        self._live_runs, self._hub_view = live_runs, hub_view
        running: Deferred[LoopingCall] = self._loop.start(every)
        running.addErrback(lambda failure: self.log.failure("the snapshots have stopped", failure))

    def stop(self) -> None:
        """Stop the snapshots. Events are still published."""
        if self._loop.running:
            self._loop.stop()

    def run_changed(self, run: Run) -> None:
        """Publish a run's new state."""
        view = run_view(run)
        self._sink.publish_run(view, self._now())
        self.event(EventType.of_run(run.state), {"run": view})

    def publish_again(self, run: Run) -> None:
        """Publish the view of a run without an event, if the sink may have missed it."""
        self._sink.publish_run(run_view(run), self._now())

    def event(self, kind: EventType, about: Mapping[str, View]) -> None:
        """Publish an event. ``about`` maps a noun, such as ``run``, to the view of the event's subject."""
        self._sink.publish_event(event_view(self._new_id(), kind.value, self._now(), about))

    def stalled(self, seconds: float) -> None:
        """Publish that something blocked the reactor for this many seconds."""
        self.event(EventType.REACTOR_STALLED, {"stall": {"seconds": round(seconds, 3)}})

    def _sample(self) -> None:
        moment = self._now()
        for live_run in self._live_runs():
            if live_run.crawl is not None:
                self._sink.publish_run(run_view(live_run.run, live_run.stats(), live_run.errors()), moment)
        self._sink.publish_hub(self._hub_view())
