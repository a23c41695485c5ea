"""How late the reactor is: measured, remembered for a while, and told when it is bad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogLevel

from reactorhub.containment.lag import LagMeter
from tests.support.hubs import hub_log


def measuring(warn_after: float = 1.0, begin: float = 0.0) -> tuple[Clock, LagMeter, list[float]]:
    """A clock, a meter that runs on it, and the stalls it tells of."""
    clock = Clock()
    stalls: list[float] = []
    clock.advance(begin)
    meter = LagMeter(clock, warn_after, stalls.append)
    meter.start()
    return clock, meter, stalls


def test_before_anything_was_measured() -> None:
    """A meter that has measured nothing yet, or was never started, shows zeros."""
    nothing = {"lag_ms_p50": 0.0, "lag_ms_p99": 0.0, "worst_stall": 0.0}
    idle = LagMeter(Clock())
    idle.stop()
    assert idle.view() == measuring()[1].view() == nothing


@given(st.floats(0, 1e9), st.integers(1, 400))
def test_a_reactor_in_time_has_no_lag(begin: float, beats: int) -> None:
    """Whenever the meter was started, a reactor that is never late shows (next to) nothing."""
    clock, meter, stalls = measuring(begin=begin)
    for _ in range(beats):
        clock.advance(min(call.getTime() for call in clock.getDelayedCalls()) - clock.seconds())
    assert meter.view()["lag_ms_p99"] < 1 and meter.view()["worst_stall"] < 0.001 and not stalls


def test_a_stall() -> None:
    """A callback that takes three seconds is one stall of that length, however many beats it swallowed."""
    clock, meter, stalls = measuring()
    clock.pump([0.25] * 4)
    clock.advance(3.25)
    clock.pump([0.25] * 4)
    assert stalls == [3.0]
    assert meter.view() == {"lag_ms_p50": 0.0, "lag_ms_p99": 3000.0, "worst_stall": 3.0}


@pytest.mark.parametrize(("late", "told"), [(0.4, False), (0.5, True), (9.0, True)])
def test_only_what_is_bad_is_told(late: float, told: bool) -> None:
    """A lag of ``warn_after`` seconds or more goes to the log and to whoever asked; less is only counted."""
    with hub_log() as logged:
        clock, meter, stalls = measuring(warn_after=0.5)
        clock.advance(0.25 + late)
    assert stalls == ([pytest.approx(late)] if told else [])
    assert [event["log_level"] for event in logged] == [LogLevel.warn] * told
    assert meter.view()["worst_stall"] == pytest.approx(late)


def test_the_worst_is_remembered_and_the_rest_forgotten() -> None:
    """Percentiles are those of the last five minutes; the worst stall stays."""
    clock, meter, _ = measuring()
    clock.advance(5.25)
    clock.pump([0.25] * 1300)
    assert meter.view() == {"lag_ms_p50": 0.0, "lag_ms_p99": 0.0, "worst_stall": 5.0}


def test_stopping() -> None:
    """A meter that was stopped leaves no timer; stopping twice is harmless."""
    clock, meter, _ = measuring()
    clock.pump([0.25] * 3)
    meter.stop()
    meter.stop()
    assert clock.getDelayedCalls() == []
