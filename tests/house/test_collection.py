"""The tests themselves: all workers collect the same ones, in the same order."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

from tests.support import distribution

ROOT = Path(__file__).parents[2]


def module_of(test: str) -> str:
    """Return the path of a test's module, from the test's id."""
    return test.partition("::")[0]


def test_ids_do_not_depend_on_the_hash_seed(request: pytest.FixtureRequest) -> None:
    """A worker with another hash seed finds the tests of this one under the same ids, in the same order."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--assert=plain", "-o", "addopts="]
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    collected = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    others = [line for line in collected.stdout.splitlines() if "::" in line]
    assert len(others) > 3000
    left = {name: iter(list(ids)) for name, ids in groupby(sorted(others, key=module_of), module_of)}
    here = [item.nodeid for item in request.session.items]
    assert [test for test in here if test not in left.get(module_of(test), ())] == []


def test_groups_name_tests_that_exist() -> None:
    """Every file that the groups and the order of the tests name is there."""
    named = [*distribution.REAL_TIME, *distribution.REAL_HUBS, *distribution.SLOW_RULES]
    assert [each for each in named if not (ROOT / each.partition("::")[0]).exists()] == []


def test_a_module_with_a_hub_of_its_own_stays_whole() -> None:
    """Tests that share a fixture stay together, pages and tests with hubs of their own are spread."""
    reload = "tests/integration/test_reload.py"
    page = "tests/docs/test_docs.py::test_page_is_followed_to_its_end[why]"
    crash = "tests/integration/test_crash.py::test_nothing_runs_twice"
    groups = [distribution.group_of(test) for test in (f"{reload}::test_a", f"{reload}::test_b", page, crash)]
    assert groups == [reload, reload, page, crash]
    clocks = {distribution.group_of(f"{each}::test") for each in distribution.REAL_TIME}
    assert clocks == {"real time"}
