"""Environment variables that a run or an import sets hold for their own code."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from reactorhub.containment.contexts import ProjectContext, RunContext
from reactorhub.containment.memory_log import MemoryRunLog
from reactorhub.containment.variables import forget_variables, keep_variables_apart


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep variables apart for one test, in an environment that has one of them."""
    monkeypatch.setenv("SHOP", "process")
    monkeypatch.delenv("PRESS", raising=False)
    undo = keep_variables_apart()
    yield
    undo()
    assert type(os.environ) is os._Environ


class Lab:
    """A project with two runs, and a run of another project."""

    def __init__(self) -> None:
        self.project = ProjectContext("lab")
        self.run, self.next = (RunContext(each, MemoryRunLog(), self.project) for each in "12")
        self.other = RunContext("3", MemoryRunLog(), ProjectContext("other"))


def shop() -> str | None:
    """Return the variable, as code of an owner sees it."""
    return os.environ.get("SHOP")


def put(value: str) -> None:
    """Set the variable, as code of an owner does."""
    os.environ["SHOP"] = value


def seen_by_programs() -> str:
    """Return the variable, as code in C sees it."""
    return subprocess.run(["printenv", "SHOP"], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()


def test_what_a_run_sets_holds_for_itself() -> None:
    """Neither the next run, nor another project, nor the hub sees it."""
    lab = Lab()
    lab.run.enter(put, "run")
    assert [each.enter(shop) for each in (lab.run, lab.next, lab.other)] == ["run", "process", "process"]
    assert shop() == os.getenv("SHOP") == "process"


def test_what_an_import_sets_holds_for_its_runs() -> None:
    """As under ``scrapy crawl``; a run may change it for itself."""
    lab = Lab()
    lab.project.enter(put, "import")
    lab.next.enter(put, "next")
    assert [each.enter(shop) for each in (lab.run, lab.next, lab.other)] == ["import", "next", "process"]


def test_variables_are_taken_out_and_listed() -> None:
    """All ways to look at them agree."""
    lab = Lab()

    def change() -> None:
        del os.environ["SHOP"]
        os.environ.update(PRESS="daily")
        assert os.environ.setdefault("PRESS", "weekly") == "daily"
        assert "SHOP" not in os.environ
        assert dict(os.environ) == os.environ.copy() == {**os.environ}
        assert len(os.environ) == len(list(os.environ))
        with pytest.raises(KeyError, match="SHOP"):
            del os.environ["SHOP"]
        with pytest.raises(TypeError):
            os.environ["PRESS"] = 7  # type: ignore[assignment]

    lab.run.enter(change)
    assert lab.run.enter(lambda: ("SHOP" in list(os.environ), os.environ["PRESS"])) == (False, "daily")
    assert lab.next.enter(lambda: ("SHOP" in list(os.environ), "PRESS" in os.environ)) == (True, False)
    forget_variables(lab.run)
    assert seen_by_programs() == "process"


def test_programs_see_it_until_the_run_ends() -> None:
    """Code in C asks the process; at the end of the run it finds what was there before."""
    lab = Lab()
    lab.project.enter(put, "import")
    lab.run.enter(put, "run")
    assert lab.run.enter(seen_by_programs) == "run"
    forget_variables(lab.run)
    assert seen_by_programs() == "import"
    forget_variables(lab.project)
    assert seen_by_programs() == "process"


def test_the_hub_s_own_hold_for_all() -> None:
    """What the hub sets is there for each run that has not set it itself."""
    lab = Lab()
    put("hub")
    assert [each.enter(shop) for each in (lab.run, lab.other)] == ["hub", "hub"]
    del os.environ["SHOP"]
    assert lab.run.enter(shop) is None
