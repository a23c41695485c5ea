"""What all tests share: the reactor, the profiles of Hypothesis, and the order in which tests begin.

The reactor is the hub's own. It is installed here, before anything can import another one.
"""

import gc
import os

import pytest
from hypothesis import settings

from reactorhub.daemon import reactor as reactors
from tests.support.distribution import MARKS, Scheduler, give_way, rank_of

reactors.install()

from twisted.internet import reactor  # noqa: E402 - it exists from here on

reactors.prepare(reactor, leave=lambda: None)  # trial ends the loop after each test

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "reactorhub")
SOAKING = PROFILE == "soak"
"""Whether the same tests look for longer than anybody would wait for."""

LONG = SOAKING or os.environ.get("ROUNDS") == "long"
"""Whether kills, storms of reloads and cancels are repeated in long rounds; see ``make faults``."""

# Machines are shared, and a slow moment is not a failure.
settings.register_profile("reactorhub", deadline=None)
settings.register_profile("soak", deadline=None, max_examples=1000)
settings.load_profile(PROFILE)


def pytest_collection() -> None:
    """Collect no garbage while tests are collected: all that this makes stays to the end."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exclude the collected tests from collections of garbage, which visit every object otherwise."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that ``make`` chooses by, and let what takes long begin first."""
    for item in items:
        for mark, beginnings in MARKS.items():
            if item.nodeid.startswith(beginnings):
                item.add_marker(mark)
    items.sort(key=lambda item: rank_of(item.nodeid))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave the processor to the tests that compare real seconds."""
    give_way(item.nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduler:
    """Share the tests among workers the way that :mod:`tests.support.distribution` says."""
    return Scheduler(config, log)
