"""When the garbage collector may stop the hub, and when not."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from reactorhub.collector import Collector


@pytest.fixture
def usual() -> Iterator[tuple[int, int, int]]:
    """The thresholds as they are without anybody's doing, and are again afterwards."""
    thresholds = gc.get_threshold()
    yield thresholds
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_full_collections_wait_until_all_have_let_go(usual: tuple[int, int, int]) -> None:
    """Who holds last lets go last; young objects are collected all the time."""
    collector = Collector()
    collector.hold()
    collector.hold()
    assert gc.get_threshold()[:2] == usual[:2] and gc.get_threshold()[2] > 100_000
    collector.release()
    assert gc.get_threshold()[2] > 100_000
    collector.release()
    assert gc.get_threshold() == usual


def test_what_has_settled_is_not_looked_at_again(usual: tuple[int, int, int]) -> None:
    """All that there is counts as there for good."""
    before = gc.get_freeze_count()
    Collector().settle()
    assert gc.get_freeze_count() > before + 1000
