"""Level names, logger classes, handler names and warning filters of one owner change nobody else's."""

from __future__ import annotations

import logging
import logging.config
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from reactorhub.containment.contexts import ProjectContext, RunContext
from reactorhub.containment.logging_globals import forget_filters, install_logging_globals
from reactorhub.containment.logging_views import install_logging_views
from reactorhub.containment.memory_log import MemoryRunLog
from reactorhub.containment.process_state import ProcessState

R = TypeVar("R")


@pytest.fixture
def runs() -> Iterator[tuple[RunContext, RunContext]]:
    """Two runs of two projects, in a process whose modules are divided."""
    undo = [install_logging_views(lambda record: None), install_logging_globals()]
    yield (
        RunContext("one", MemoryRunLog(), ProjectContext("first")),
        RunContext("other", MemoryRunLog(), ProjectContext("second")),
    )
    for each in reversed(undo):
        each()


Runs = tuple[RunContext, RunContext]


def each(runs: Runs, call: Callable[[], R]) -> tuple[R, R, R]:
    """What a call returns for the first run, for the other, and for the hub."""
    return runs[0].enter(call), runs[1].enter(call), call()


def test_level_names(runs: Runs) -> None:
    """A name that a run gives a level is its own; a project's is seen by its runs; new levels work."""
    runs[0].enter(logging.addLevelName, logging.INFO, "MINE")
    runs[1].enter(logging.addLevelName, logging.INFO, "THEIRS")
    assert each(runs, lambda: logging.getLevelName(logging.INFO)) == ("MINE", "THEIRS", "INFO")
    assert runs[0].parent is not None
    runs[0].parent.enter(logging.addLevelName, 15, "FINEST")
    assert each(runs, lambda: logging.getLevelName(15)) == ("FINEST", "Level 15", "Level 15")
    runs[0].enter(logging.getLogger("a.trace").setLevel, "FINEST")
    with pytest.raises(ValueError, match="FINEST"):
        runs[1].enter(logging.getLogger("a.trace").setLevel, "FINEST")
    assert each(runs, lambda: logging.getLevelNamesMapping().get("FINEST")) == (15, None, None)


def test_logger_classes(runs: Runs) -> None:
    """Loggers of a run's own class are seen by that run alone; those that exist stay what they are."""

    class Mine(logging.Logger):
        pass

    existing = logging.getLogger("exists.already")
    runs[0].enter(logging.setLoggerClass, Mine)
    kinds = each(runs, lambda: type(logging.getLogger("new.of.mine")))
    assert kinds == (Mine, logging.Logger, logging.Logger)
    child, parent = runs[0].enter(
        lambda: (logging.getLogger("new.of.mine.child"), logging.getLogger("new.of.mine"))
    )
    assert child.parent is parent
    assert runs[0].enter(logging.getLogger, "exists.already") is existing
    with pytest.raises(TypeError):
        runs[0].enter(logging.setLoggerClass, str)


def test_handler_names(runs: Runs) -> None:
    """A hard dictConfig of one run takes no handler's name away from another."""
    config = {
        "version": 1,
        "handlers": {"file": {"class": "logging.NullHandler"}},
        "root": {"handlers": ["file"]},
    }
    runs[1].enter(logging.config.dictConfig, config)
    runs[0].enter(logging.config.dictConfig, {"version": 1})
    names = each(runs, lambda: list(logging._handlers))  # type: ignore[attr-defined]
    assert "file" in names[1]
    assert "file" not in names[0]


def warned() -> str:
    """Warn, and say what came of it."""
    try:
        with warnings.catch_warnings(record=True) as shown:
            warnings.warn("hello", UserWarning, stacklevel=1)
            eval(compile("'x' is 'x'", "<a literal>", "eval"))  # SyntaxWarning, which C code raises
    except (UserWarning, SyntaxError):
        return "error"
    return f"{len(shown)} shown"


def test_warning_filters(runs: Runs) -> None:
    """``simplefilter("error")`` of a run makes errors in that run only, also of what C code warns of."""
    warnings.simplefilter("always")
    state = ProcessState(object())
    runs[0].enter(warnings.simplefilter, "error")
    runs[1].enter(warnings.filterwarnings, "ignore", "hel.*")
    assert each(runs, warned) == ("error", "1 shown", "2 shown")
    assert state.put_right() == [], "a filter of a run is no change for the process"
    runs[0].enter(warnings.resetwarnings)
    assert each(runs, warned) == ("2 shown", "1 shown", "2 shown")
    before = len(warnings.filters)
    for run in runs:
        forget_filters(run)
    assert each(runs, warned) == ("2 shown",) * 3
    assert len(warnings.filters) == before - 3


def test_nothing_costs_until_it_is_used(runs: Runs) -> None:
    """Without addLevelName the tables of levels are plain dictionaries, which C code reads fast."""
    tables: Any = logging
    assert type(tables._levelToName) is dict
    runs[0].enter(logging.addLevelName, 15, "FINEST")
    assert type(tables._levelToName) is not dict
