"""The tests themselves: all workers collect the same ones, in the same order."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from xdist.remote import Producer

from tests.support import distribution

ROOT = Path(__file__).parents[2]


class Worker:
    """A worker of pytest-xdist, with what its scheduler asks of it."""

    shutting_down = False

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.handed_out: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.handed_out += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def handed_out(first: list[str], second: list[str]) -> tuple[int, list[str]]:
    """Let two workers collect tests; return how many tests they were handed, and the failures reported."""
    failures: list[str] = []
    hook = SimpleNamespace(pytest_collectreport=lambda report: failures.append(report.longrepr))
    option = SimpleNamespace(tx=["2*popen"], px=[], numprocesses=2, loadscopereorder=True)
    config = SimpleNamespace(hook=hook, option=option, getvalue=lambda name: getattr(option, name))
    scheduler = distribution.Scheduler(config, Producer("test"))  # type: ignore[arg-type]
    workers = [Worker("one"), Worker("two")]
    for worker, tests in zip(workers, (first, second), strict=True):
        scheduler.add_node(worker)  # type: ignore[arg-type]
        scheduler.add_node_collection(worker, tests)  # type: ignore[arg-type]
    scheduler.schedule()
    return sum(len(worker.handed_out) for worker in workers), failures


def test_workers_that_collect_alike_share_the_tests() -> None:
    """Each test goes to one worker."""
    tests = [f"tests/{module}.py::test_it" for module in ("a", "b", "c")]
    assert handed_out(tests, tests) == (3, [])


def test_ids_do_not_depend_on_the_hash_seed() -> None:
    """Each worker has a hash seed of its own: a run in which two collect different tests, or another order,
    fails before the first test."""
    tests = [f"tests/{module}.py::test_it" for module in ("a", "b")]
    count, failures = handed_out(tests, tests[::-1])
    assert (count, len(failures)) == (0, 1)
    assert "Different tests were collected between one and two" in failures[0]


def test_groups_name_tests_that_exist() -> None:
    """Every file that the groups and the order of the tests name is there."""
    marked = [each for beginnings in distribution.MARKS.values() for each in beginnings]
    named = [*distribution.REAL_TIME, *marked, *distribution.SLOW_RULES]
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
