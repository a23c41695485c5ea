"""Says which tests stay together, and which begin first, when several workers share the tests.

The scheduler sees nothing of a test but its id, so everything here goes by ids. (The groups of pytest-xdist
are of no use: 3.8.0 does not see them under pytest 9.2, see pytest-dev/pytest-xdist#1386.)
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

REAL_TIME = (
    "tests/integration/test_schedules.py",
    "tests/integration/test_clock_steps.py",
    "tests/integration/test_reload_stress.py",
    "tests/integration/test_bench_schedules.py",
    "tests/redis/test_outage.py",
    "tests/engine/test_scrapy_fairness.py",
)
"""What compares real seconds. One worker runs all of it, so that these tests do not disturb each other."""

REAL_HUBS = ("tests/integration/", "tests/docs/test_docs.py::test_page_is_followed_to_its_end")
"""What starts hubs as processes of their own. ``make test-quick`` leaves it out."""

SERVICES = ("tests/integration/test_environments.py",)
"""What needs other software than the lock files name. ``make test-services`` installs and runs it."""

SLOW = ("tests/oracle/", "tests/engine/doctor/test_source.py", "tests/engine/isolated/test_zygotes.py")
"""What takes most of the time of the tests that start no hub. ``make test-quick`` leaves it out, too."""

MARKS = {"real_hub": REAL_HUBS, "services": SERVICES, "slow": SLOW}
"""The marks that ``make`` chooses tests by, each with the beginnings of the ids that have it."""

SLOW_RULES = ("tests/oracle/", "tests/triggers/test_rules.py", "tests/triggers/test_window.py")
"""What Hypothesis examines for seconds."""

LIVES_AS_LONG_AS_A_MODULE = 'scope="module"'


class Scheduler(LoadScopeScheduling):
    """Hands a worker one group of tests at a time, in the order in which the tests were collected."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


POLITE = 5
"""The niceness of the workers that leave the processor to the tests that compare real seconds."""


def give_way(test: str) -> None:
    """Lower the priority of this worker and its hubs, unless the test compares real seconds.

    The real time group is the first that is handed out, so its worker has not given way before.
    """
    shared = "PYTEST_XDIST_WORKER" in os.environ
    if shared and not test.startswith(REAL_TIME) and os.getpriority(os.PRIO_PROCESS, 0) < POLITE:
        os.setpriority(os.PRIO_PROCESS, 0, POLITE)


@cache
def group_of(test: str) -> str:
    """Return the name of the group that a test belongs to, from the test's id.

    Tests that start real hubs are spread, unless their module shares one; other modules stay whole.
    """
    if test.startswith(REAL_TIME):
        return "real time"
    module = test.partition("::")[0]
    spread = test.startswith(REAL_HUBS) and LIVES_AS_LONG_AS_A_MODULE not in Path(module).read_text("utf-8")
    return test if spread else module


def rank_of(test: str) -> int:
    """Return when a test begins, from its id: the lower the earlier. What takes long does not begin last."""
    if test.startswith(REAL_TIME):
        return 0
    if test.startswith(REAL_HUBS):
        return 1
    return 2 if test.startswith(SLOW_RULES) else 3
