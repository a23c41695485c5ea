"""When the garbage collector may stop the hub, and when not."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from reactorhub.daemon.gc import REST, GcPause


@pytest.fixture
def usual() -> Iterator[tuple[int, int, int]]:
    """The thresholds as they are without anybody's doing, and are again afterwards."""
    thresholds = gc.get_threshold()
    yield thresholds
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_full_collections_wait_until_all_have_let_go(usual: tuple[int, int, int]) -> None:
    """Who holds last lets go last, and a rest follows; young objects are collected all the time."""
    gc_pause = GcPause(clock := Clock())
    gc_pause.hold()
    gc_pause.hold()
    assert gc.get_threshold()[:2] == usual[:2] and gc.get_threshold()[2] > 100_000
    gc_pause.release()
    clock.advance(60)
    assert gc.get_threshold()[2] > 100_000
    gc_pause.release()
    clock.advance(REST - 0.1)
    assert gc.get_threshold()[2] > 100_000
    clock.advance(0.1)
    assert gc.get_threshold() == usual
    assert not clock.getDelayedCalls()


def test_holds_in_a_row_leave_room(usual: tuple[int, int, int]) -> None:
    """Who holds briefly again and again, more often than a rest takes, does not keep collections away."""
    gc_pause = GcPause(clock := Clock())
    seen = set()
    for _ in range(10):
        gc_pause.hold()
        gc_pause.release()
        clock.advance(REST * 0.6)
        seen.add(gc.get_threshold())
    assert usual in seen
    clock.advance(REST)
    assert gc.get_threshold() == usual and not clock.getDelayedCalls()


def test_a_rest_that_ends_in_a_hold_is_taken_again(usual: tuple[int, int, int]) -> None:
    """A hold that goes on when the rest is over keeps collections away, and another rest follows it."""
    gc_pause = GcPause(clock := Clock())
    gc_pause.hold()
    gc_pause.release()
    gc_pause.hold()
    clock.advance(REST)
    assert gc.get_threshold()[2] > 100_000
    gc_pause.release()
    clock.advance(REST)
    assert gc.get_threshold() == usual and not clock.getDelayedCalls()


def test_what_has_settled_is_not_looked_at_again(usual: tuple[int, int, int]) -> None:
    """All that there is counts as there for good."""
    before = gc.get_freeze_count()
    GcPause(Clock()).settle()
    assert gc.get_freeze_count() > before + 1000
