"""What a run registers with ``atexit`` is called at the end of the run."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reactorhub.containment.at_exit import call_at_exit, keep_exits_apart
from reactorhub.containment.contexts import ProjectContext, RunContext
from reactorhub.containment.memory_log import MemoryRunLog

said: list[str] = []


def say(word: str) -> None:
    """Say a word at the end."""
    said.append(word)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What is registered for the process's own end, while runs have ends of their own."""
    of_process: list[Any] = []
    monkeypatch.setattr(atexit, "register", lambda call, *args, **kwargs: of_process.append(call))
    undo = keep_exits_apart()
    said.clear()
    yield of_process
    undo()


def run_of(folder: Path) -> RunContext:
    """A run of the project in this folder."""
    return RunContext("1", MemoryRunLog(), ProjectContext("lab", folder))


def test_a_run_has_an_end_of_its_own(register: list[Any]) -> None:
    """Its functions are called once, the newest first, also after one that raises."""
    run = run_of(Path(__file__).parent)

    def begin() -> None:
        for word in ("first", "second"):
            atexit.register(say, word)
        atexit.register(fail)
        atexit.register(say, word="third")

    run.enter(begin)
    for _ in range(2):
        call_at_exit(run)
    assert said == ["third", "second", "first"]
    assert register == []


def fail() -> None:
    """Raise what ends a process."""
    raise SystemExit(3)


def test_what_is_taken_out_is_not_called(register: list[Any]) -> None:
    """``unregister()`` takes out all of a run's own that are the same function."""
    run = run_of(Path(__file__).parent)
    run.enter(lambda: [atexit.register(say, "a"), atexit.register(say, "b"), atexit.unregister(say)])
    call_at_exit(run)
    assert said == []


@pytest.mark.parametrize(
    "enter", [run_of(Path("/no/such/project")).enter, ProjectContext("lab", Path(__file__).parent).enter]
)
def test_what_others_register_is_the_process_s(
    register: list[Any], enter: Callable[[Callable[[], object]], object]
) -> None:
    """A library that a run uses keeps things for all runs, and an import is for all runs of its project."""
    enter(lambda: atexit.register(say, "late"))
    assert register == [say]
