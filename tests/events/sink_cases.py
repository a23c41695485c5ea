"""Views and sinks for the tests of the sinks, and waiting for what another process will have done soon."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.model.values import View
from reactorhub.redis.hub_name import HubIdentity
from reactorhub.redis.sink import RedisSink
from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.wire.views import event_view, run_view

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """Return the moment so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def view(
    number: int,
    state: RunState = RunState.RUNNING,
    started: float | None = 0,
    spider: str = "prices",
    **stats: Any,
) -> View:
    """Return the view of run ``number``, started so many seconds after noon, with these stats."""
    return run_view(
        Run(
            id=run_id(number),
            spec=RunSpec(spider=spider, project="shop", args={"category": "laptops"}, tags=("daily",)),
            created_at=NOON,
            state=state,
            started_at=None if started is None else after(started),
            stats=stats,
        )
    )


def run_id(number: int) -> str:
    """Return an id that sorts as its number does."""
    return f"01890000-0000-7000-8000-{number:012d}"


def event(number: int) -> View:
    """Return the event with this number."""
    about = {"run": view(number)}
    return event_view(f"e{number:06d}", "run.running", after(number), about)


def make_sink(case: TestCase, url: str, **options: Any) -> RedisSink:
    """Return a sink that is quick to write, quick to lose patience, and stops with the test."""
    client = RedisClient(address_of(url), reactor, deadline=options.pop("deadline", 0.5))
    identity = options.pop("identity", HubIdentity(name="main", instance="1"))
    options = {"gather": 0.01} | options
    sink = RedisSink(client, "t:", identity, reactor, lambda: datetime.now(UTC), **options)
    case.addCleanup(sink.stop, 0.1)
    return sink


async def until(true: Callable[[], bool], within: float = 8.0) -> None:
    """Look every 20 ms until it is true; fails when it is still not after ``within`` seconds."""
    clock: Any = reactor
    deadline = clock.seconds() + within
    while not true():
        assert clock.seconds() < deadline, "still not true"
        await deferLater(clock, 0.02, lambda: None)
