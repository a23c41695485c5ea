"""Receivers that listen to all senders hear their own run, as they do under ``scrapy crawl``."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest
from scrapy import signals
from scrapy.signalmanager import SignalManager, dispatcher

from reactorhub.containment.contexts import ProjectContext, RunContext
from reactorhub.containment.memory_log import MemoryRunLog
from reactorhub.engine.scrapy.private.receivers import keep_receivers_apart


class Listener:
    """Hears the end of crawls, like a pipeline of an old project."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def closed(self, reason: object) -> None:
        """Take note of an end."""
        self.heard.append(reason)

    def __bool__(self) -> bool:
        return False


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    """Keep receivers apart for one test."""
    undo = keep_receivers_apart()
    yield
    undo()


def runs(*projects: ProjectContext) -> list[RunContext]:
    """A run of each project."""
    return [RunContext(str(number), MemoryRunLog(), each) for number, each in enumerate(projects)]


def end(run: RunContext) -> None:
    """Send a signal as the crawler of a run does."""
    run.enter(SignalManager(run).send_catch_log, signals.spider_closed, reason=run.run_id)


def listen(listener: Listener) -> Callable[[], None]:
    """Return what connects the listener to all senders."""
    return lambda: dispatcher.connect(listener.closed, signals.spider_closed)


def test_a_run_hears_itself() -> None:
    """Neither another run of its project nor one of another project is heard."""
    shop = ProjectContext("shop")
    own, other, foreign = runs(shop, shop, ProjectContext("press"))
    listener = Listener()
    own.enter(listen(listener))
    for run in (other, foreign, own):
        end(run)
    assert listener.heard == ["0"]


def test_an_import_hears_the_runs_of_its_project() -> None:
    """What a module connects is there for each run, as under ``scrapy crawl``."""
    shop = ProjectContext("shop")
    one, two, foreign = runs(shop, shop, ProjectContext("press"))
    listener = Listener()
    shop.enter(listen(listener))
    for run in (one, two, foreign):
        end(run)
    assert listener.heard == ["0", "1"]


def test_a_run_that_sends_by_the_dispatcher_itself() -> None:
    """``dispatcher.send()`` reaches the run's own receivers."""
    own, other = runs(ProjectContext("shop"), ProjectContext("press"))
    listener = Listener()
    own.enter(lambda: dispatcher.connect(listener.closed, "sold"))
    for run in (own, other):
        run.enter(lambda who=run: dispatcher.send("sold", reason=who.run_id))
    assert listener.heard == ["0"]


def test_what_names_its_sender_stays_as_it_is() -> None:
    """Scrapy's own way, ``crawler.signals.connect()``, is not touched, nor is what the hub connects."""
    own, other = runs(ProjectContext("shop"), ProjectContext("press"))
    named, hub = Listener(), Listener()
    own.enter(SignalManager(other).connect, named.closed, signals.spider_closed)
    listen(hub)()
    for run in (own, other):
        end(run)
    assert named.heard == ["1"]
    assert hub.heard == ["0", "1"]


def test_nothing_stays_of_a_run() -> None:
    """What was connected for good goes at the end of the run; the rest goes with its object."""
    (run,) = runs(ProjectContext("shop"))
    for_good, weak = Listener(), Listener()
    run.enter(lambda: dispatcher.connect(for_good.closed, signals.spider_closed, weak=False))
    run.enter(listen(weak))
    (take_out,) = run.at_end
    take_out()
    del weak
    gc.collect()
    end(run)
    assert for_good.heard == []
