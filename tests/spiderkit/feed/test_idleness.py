"""When an idle spider may close."""

from __future__ import annotations

from twisted.internet.task import Clock

from reactorhub.spiderkit.feed.idleness import Idleness


def test_idle_for_long_enough() -> None:
    """It may close when the time is over, and is looked at then."""
    clock, looks = Clock(), []
    idleness = Idleness(clock, 5, lambda: looks.append(clock.seconds()))
    assert idleness.stays(0)
    clock.advance(4)
    assert idleness.stays(0)
    clock.advance(1)
    assert looks == [5]
    assert not idleness.stays(0)
    assert not clock.getDelayedCalls()


def test_work_begins_the_time_again() -> None:
    """An interruption, and requests that nobody told of."""
    clock = Clock()
    idleness = Idleness(clock, 5, lambda: None)
    assert idleness.stays(0)
    clock.advance(4)
    idleness.interrupt()
    assert not clock.getDelayedCalls()
    assert idleness.stays(0)
    clock.advance(4)
    assert idleness.stays(1)
    clock.advance(4)
    assert idleness.stays(1)
    clock.advance(1)
    assert not idleness.stays(1)


def test_for_ever() -> None:
    """Zero seconds mean that a spider never closes by itself."""
    clock = Clock()
    idleness = Idleness(clock, 0, lambda: None)
    clock.advance(1_000_000)
    assert idleness.stays(0)
    assert not clock.getDelayedCalls()
