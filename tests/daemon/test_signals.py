"""Signals: the first stops, the second makes haste, and the process ends in time either way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from reactorhub.containment.contexts import RUN, RunContext
from reactorhub.containment.memory_log import MemoryRunLog
from reactorhub.daemon.signals import HASTE, Signals

ALL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD)


class Told:
    """A reactor, a hub and a process that only note what they are told."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.installed: Signals | None = None

    def callFromThread(self, call: Any) -> None:
        assert RUN.get() is None
        call()

    def signals(self) -> Signals:
        """Return signals that are installed."""
        made = Signals(
            self,  # type: ignore[arg-type]
            grace=lambda: 60.0,
            hurry=lambda: self.said.append("hurry"),
            reload=lambda: self.said.append("reload"),
            leave=lambda status: self.said.append(("leave", status)),
        )
        made.install()
        self.installed = made
        return made


@pytest.fixture
def told() -> Iterator[Told]:
    """What was told, with the test run's own handlers put back afterwards."""
    before = {number: signal.getsignal(number) for number in ALL}
    double = Told()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: double.said.append((number, RUN.get())))
    double.signals()
    yield double
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


def left() -> float:
    """Return the seconds until the deadline."""
    return signal.getitimer(signal.ITIMER_REAL)[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_stops_and_sets_the_deadline(told: Told, number: int) -> None:
    """The reactor's own handler stops it, outside any run, and the clock is ticking."""
    RunContext("1", MemoryRunLog()).enter(os.kill, os.getpid(), number)
    assert told.said == [(number, None)]
    assert 60 < left() <= 60 + HASTE


def test_the_second_makes_haste(told: Told) -> None:
    """It skips the grace and brings the deadline nearer."""
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    assert told.said == [(signal.SIGTERM, None), "hurry"]
    assert left() <= HASTE


def test_out_of_time(told: Told) -> None:
    """When the deadline is over the process leaves with the signal's status."""
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGALRM)
    assert told.said[-1] == ("leave", 128 + signal.SIGTERM)


def test_an_ignored_signal_stays_ignored(told: Told) -> None:
    """A background job of a shell ignores SIGINT, and so does its hub."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told.signals()
    os.kill(os.getpid(), signal.SIGINT)
    assert told.said == []
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_hangup_reloads(told: Told) -> None:
    """SIGHUP reads the schedule file again and stops nothing."""
    os.kill(os.getpid(), signal.SIGHUP)
    assert told.said == ["reload"]
    assert left() == 0


def test_an_alarm_without_an_order_ends_nothing(told: Told) -> None:
    """Code of a run may set a timer past every guard: the process does not leave, and not with status 0."""
    os.kill(os.getpid(), signal.SIGALRM)
    assert told.said == []


@pytest.mark.parametrize("number", ALL)
def test_a_handler_that_a_run_has_taken_is_put_back(told: Told, number: int) -> None:
    """The message names the signal and what stood in its place; nothing is said twice."""
    assert told.installed is not None
    ours = signal.getsignal(number)
    signal.signal(number, left_by_a_run)
    (said,) = told.installed.put_right()
    assert said.startswith(f"the handler of {signal.Signals(number).name} (left_by_a_run of ")
    assert signal.getsignal(number) == ours
    assert told.installed.put_right() == []


def left_by_a_run(*args: object) -> None:
    """A handler of a run's own."""


def test_timers_and_masks_of_a_run_are_put_back(told: Told) -> None:
    """A timer for SIGALRM goes, a blocked SIGTERM is let through."""
    assert told.installed is not None
    signal.setitimer(signal.ITIMER_REAL, 60)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    assert told.installed.put_right() == [
        "blocked signals (SIGTERM)",
        "a timer for SIGALRM (60.0 s)",
    ]
    assert (left(), told.installed.put_right()) == (0, [])


def test_the_deadline_stays_in_force(told: Told) -> None:
    """After the order to stop a run can neither take SIGALRM nor the timer away."""
    assert told.installed is not None
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGALRM) == told.installed._out_of_time
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert told.installed.put_right() == ["the timer that ends the process in time"]
    assert 60 < left() <= 60 + HASTE
