"""Puts together what a hub works with, from its slots to its notifications."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from reactorhub.config import HubConfig
from reactorhub.containment.lag import LagMeter
from reactorhub.engine.router import EngineRouter
from reactorhub.events.publisher import EventPublisher
from reactorhub.events.sink import Sink
from reactorhub.hub.ended_runs import EndedRuns
from reactorhub.hub.schedules import ScheduleViews
from reactorhub.hub.status import HubParts
from reactorhub.model.ids import IdMaker
from reactorhub.notifications.notifier import Notifier
from reactorhub.notifications.reporter import IncidentReporter
from reactorhub.runs.dispatcher import Dispatcher
from reactorhub.runs.lifecycle import RunServices
from reactorhub.runs.slots import Slots
from reactorhub.schedules.auto_pause import AutoPause
from reactorhub.schedules.book import ScheduleBook
from reactorhub.storage.ledger import Ledger


def utc_now() -> datetime:
    """Return the time of the wall clock."""
    return datetime.now(UTC)


def hub_parts(config: HubConfig, ledger: Ledger, engine: EngineRouter, sink: Sink, reactor: Any) -> HubParts:
    """Make what a hub works with, on top of this ledger, engine and sink of events."""
    new_id = IdMaker(utc_now)
    publisher = EventPublisher(reactor, utc_now, sink, new_id)
    notifier = Notifier(reactor, utc_now, ledger)
    reporter = IncidentReporter(new_id, utc_now, config.name, notifier.wake)
    services = RunServices(
        clock=reactor,
        now=utc_now,
        ledger=ledger,
        engine=engine,
        slots=Slots(reactor, config.max_concurrent_runs, config.queues),
        changed=publisher.run_changed,
    )
    book = ScheduleBook(ledger, utc_now, reactor, reporter)
    views = ScheduleViews(services, book, publisher)
    ended_runs = EndedRuns(ledger, publisher, views, AutoPause(ledger, book), utc_now)
    return HubParts(
        services=services,
        dispatcher=Dispatcher(
            services,
            book,
            new_id,
            publisher.event,
            config.max_queued_runs,
            on_ended=ended_runs.ended,
            reporter=reporter,
        ),
        book=book,
        views=views,
        ended_runs=ended_runs,
        publisher=publisher,
        sink=sink,
        lag=LagMeter(reactor, stalled=publisher.stalled),
        notifier=notifier,
        doctor=engine.doctor,
        new_id=new_id,
    )
