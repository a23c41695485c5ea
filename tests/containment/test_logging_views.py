"""Whatever a run or an import does to ``logging`` changes the log of no other."""

from __future__ import annotations

import functools
import inspect
import logging
import logging.config
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import globalLogPublisher
from twisted.python.log import PythonLoggingObserver

from reactorhub.containment.contexts import EMITTING, ProjectContext, RunContext
from reactorhub.containment.logging_views import changes, close_handlers, install_logging_views
from reactorhub.containment.memory_log import MemoryRunLog
from reactorhub.containment.root_handler import RootHandler
from reactorhub.containment.run_logs import routing


class Stage:
    """Installed views, a project with two runs, a run of another project, and what the hub's log gets."""

    def __init__(self) -> None:
        self.hub: list[str] = []
        self.project = ProjectContext("lab")
        self.run = RunContext("1", MemoryRunLog(), self.project)
        self.next = RunContext("2", MemoryRunLog(), self.project)
        self.other = RunContext("3", MemoryRunLog(), ProjectContext("other"))


def staged(test: Callable[..., None]) -> Callable[..., None]:
    """Give a test a stage while it runs, and leave logging as it was."""

    @functools.wraps(test)
    def run(**values: Any) -> None:
        stage = Stage()
        with ExitStack() as undone:
            level = logging.getLogger("lab").level
            undone.callback(logging.getLogger("lab").setLevel, level)
            deliver = routing(lambda record: stage.hub.append(record.getMessage()))
            undone.callback(install_logging_views(deliver))
            test(stage=stage, **values)

    signature = inspect.signature(test)
    others = [each for each in signature.parameters.values() if each.name != "stage"]
    run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    return run


def speak() -> None:
    """Log as a crawl does: several loggers and levels."""
    for name in ("scrapy.core.engine", "lab", "lab.deep"):
        for level in (logging.DEBUG, logging.INFO, logging.ERROR):
            logging.getLogger(name).log(level, "%s at %s", name, level)


def heard(run: RunContext) -> list[str]:
    """What a run's log gets when its code speaks."""
    log = run.log
    assert isinstance(log, MemoryRunLog)
    log.records.clear()
    run.enter(speak)
    return [record.getMessage() for record in log.records]


ALL = [f"{name} at {level}" for name in ("scrapy.core.engine", "lab", "lab.deep") for level in (10, 20, 40)]


class Exits(logging.Handler):
    """A handler that ends the process."""

    def emit(self, record: logging.LogRecord) -> None:
        """Exit."""
        sys.exit("handler")


class Again(logging.Handler):
    """A handler that logs while it handles."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log."""
        logging.getLogger("lab").warning("again")


class Refuses(logging.Filter):
    """A filter that lets nothing pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Refuse."""
        return False


def bad_factory(*args: object, **kwargs: object) -> logging.LogRecord:
    """A factory of records that raises."""
    raise KeyboardInterrupt


def clear_root() -> None:
    """Remove all handlers of the root logger, as many scripts do."""
    root = logging.getLogger()
    while root.handlers:
        root.removeHandler(root.handlers[0])


SOFT = {"version": 1, "disable_existing_loggers": False, "root": {"level": "CRITICAL"}}
HARD = {"version": 1, "root": {"level": "CRITICAL"}}
HABITS: dict[str, Callable[[], object]] = {
    "root level": lambda: logging.getLogger().setLevel(logging.CRITICAL),
    "a library's level": lambda: logging.getLogger("scrapy").setLevel(logging.CRITICAL),
    "disable": lambda: logging.disable(logging.CRITICAL),
    "a disabled logger": lambda: setattr(logging.getLogger("scrapy.core.engine"), "disabled", True),
    "propagate": lambda: setattr(logging.getLogger("scrapy"), "propagate", False),
    "basicConfig": lambda: logging.basicConfig(force=True, level=logging.CRITICAL),
    "soft dictConfig": lambda: logging.config.dictConfig(SOFT),
    "hard dictConfig": lambda: logging.config.dictConfig(HARD),
    "no handlers": clear_root,
    "shutdown": logging.shutdown,
    "a filter": lambda: logging.getLogger("lab").addFilter(Refuses()),
    "a handler that exits": lambda: logging.getLogger().addHandler(Exits()),
    "a handler that logs": lambda: logging.getLogger().addHandler(Again()),
    "a record factory": lambda: logging.setLogRecordFactory(bad_factory),
    "captureWarnings": lambda: logging.captureWarnings(False),
}


@pytest.mark.parametrize("habit", HABITS.values(), ids=HABITS)
@staged
def test_a_habit_of_a_run_harms_no_other(stage: Stage, habit: Callable[[], object]) -> None:
    """Before and after a run's habit the next run, another project's run and the hub log the same."""
    before = [heard(run) for run in (stage.next, stage.other)]
    speak()
    stage.run.enter(habit)
    heard(stage.run)
    assert [heard(run) for run in (stage.next, stage.other)] == before == [ALL, ALL]
    speak()
    assert stage.hub == ALL * 2


@pytest.mark.parametrize("habit", HABITS.values(), ids=HABITS)
@staged
def test_a_habit_of_an_import_harms_no_other_project(stage: Stage, habit: Callable[[], object]) -> None:
    """What an import does holds for its own project's runs, and for no other's."""
    stage.project.enter(habit)
    assert heard(stage.other) == ALL
    speak()
    assert stage.hub == ALL
    assert heard(stage.run) == heard(stage.next)


@staged
def test_a_run_s_own_choice_holds_for_it(stage: Stage) -> None:
    """A level that a run sets keeps its own records out, at once and until it sets it back."""
    stage.run.enter(logging.getLogger("lab").setLevel, logging.ERROR)
    assert heard(stage.run) == [line for line in ALL if line.startswith("scrapy") or line.endswith("40")]
    stage.run.enter(logging.getLogger("lab").setLevel, logging.DEBUG)
    assert heard(stage.run) == ALL
    stage.run.enter(logging.disable, logging.INFO)
    assert heard(stage.run) == [line for line in ALL if line.endswith("40")]


@staged
def test_a_run_s_handlers_get_its_records_alone(stage: Stage, tmp_path: Path) -> None:
    """A handler of a run sees its own records; it is closed with the run, and not before."""
    file = tmp_path / "own.log"

    def add() -> None:
        logging.getLogger().addHandler(logging.FileHandler(file))

    stage.run.enter(add)
    stage.next.enter(logging.config.dictConfig, HARD)
    heard(stage.other)
    heard(stage.run)
    speak()
    assert file.read_text().splitlines() == ALL
    _, handler = stage.run.enter(lambda: list(logging.root.handlers))
    assert isinstance(handler, logging.FileHandler)
    assert handler.stream is not None
    close_handlers(stage.run)
    assert handler.stream is None


@staged
def test_handlers_that_run_in_circles(stage: Stage) -> None:
    """A record that is logged inside a handler stands in the log once, and no handler sees it."""
    stage.run.enter(logging.getLogger().addHandler, Again())
    lines = heard(stage.run)
    assert len(lines) == 2 * len(ALL)
    assert lines.count("again") == len(ALL)
    assert not EMITTING.now


@staged
def test_twisted_s_log_is_not_handed_on_twice(stage: Stage) -> None:
    """An observer that a run adds to Twisted's log is not added."""
    seen: list[object] = []
    stage.run.enter(globalLogPublisher.addObserver, seen.append)
    stage.run.enter(PythonLoggingObserver("twisted").start)
    before = len(globalLogPublisher._observers)
    globalLogPublisher({"log_format": "hello"})
    assert seen == []
    assert len(globalLogPublisher._observers) == before


@staged
def test_what_is_remembered_of_loggers_is_never_stale(stage: Stage) -> None:
    """A log call costs a run no view of its own; what it and its project set afterwards holds at once."""
    deep, middle = logging.getLogger("stale.middle.deep"), "stale.middle"
    got: list[str] = []

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            got.append(record.getMessage())

    def say(text: str) -> list[str]:
        got.clear()
        stage.run.enter(deep.error, text)
        return list(got)

    stage.project.enter(logging.getLogger("stale.other").setLevel, logging.INFO)
    assert say("one") == []
    stage.project.enter(logging.getLogger("stale.other").setLevel, logging.INFO)
    assert say("one") == []
    assert stage.run.logging is None
    stage.project.enter(logging.getLogger(middle).addHandler, Note())
    assert say("two") == ["two"]
    stage.run.enter(logging.getLogger("stale").addHandler, Note())
    assert say("three") == ["three", "three"]
    stage.run.enter(setattr, deep, "propagate", False)
    assert say("four") == []
    stage.run.enter(setattr, deep, "propagate", True)
    stage.run.enter(deep.addFilter, lambda record: "five" not in record.getMessage())
    assert say("five") == []
    assert say("six") == ["six", "six"]


@staged
def test_new_loggers_belong_to_all(stage: Stage) -> None:
    """A logger that a run is the first to ask for works for others as any other."""
    stage.run.enter(lambda: logging.getLogger("lab.new.one").setLevel(logging.CRITICAL))
    stage.other.enter(logging.getLogger("lab.new.one").debug, "hello")
    assert isinstance(stage.other.log, MemoryRunLog)
    assert [record.getMessage() for record in stage.other.log.records] == ["hello"]


@staged
def test_a_factory_of_a_run_s_own(stage: Stage) -> None:
    """Its records are made by the run's factory; one that raises is dropped."""

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = logging.LogRecord(*args, **kwargs)
        record.msg = "made: " + str(record.msg)
        return record

    stage.run.enter(logging.setLogRecordFactory, factory)
    assert heard(stage.run) == [f"made: {line}" for line in ALL]
    stage.run.enter(logging.setLogRecordFactory, bad_factory)
    assert heard(stage.run) == ALL


@staged
def test_a_factory_gets_what_a_log_call_gives(stage: Stage) -> None:
    """Scrapy hands over the values of its records in one mapping; the factory makes such records, too."""
    plain = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = plain(*args, **kwargs)
        record.spider_name = "books"
        return record

    stage.run.enter(logging.setLogRecordFactory, factory)
    stage.run.enter(lambda: logging.getLogger("lab").info("%(a)s and %(b)s", {"a": 1, "b": 2}))
    stage.run.enter(lambda: logging.getLogger("lab").info("%s", 3))
    assert isinstance(stage.run.log, MemoryRunLog)
    said = [(record.getMessage(), vars(record).get("spider_name")) for record in stage.run.log.records]
    assert said == [("1 and 2", "books"), ("3", "books")]


@staged
def test_a_root_handler_of_its_own(stage: Stage) -> None:
    """What a run sets on the handler that it finds at the root logger reaches no other owner."""
    found = [
        each.enter(lambda: list(logging.root.handlers)) for each in (stage.project, stage.run, stage.next)
    ]
    assert [[type(handler) for handler in handlers] for handlers in found] == [[RootHandler]] * 3
    assert len({id(handlers[0]) for handlers in found}) == 3
    assert [handlers[0] for handlers in found[1:]] == [stage.run.root_handler, stage.next.root_handler]
    assert stage.other.root_handler is None


@staged
def test_what_an_import_has_changed_can_be_named(stage: Stage) -> None:
    """The warning names what reaches beyond the project's own loggers."""
    stage.project.enter(logging.getLogger("lab").setLevel, logging.ERROR)
    stage.project.enter(lambda: logging.getLogger("lab").addHandler(logging.NullHandler()))
    stage.project.enter(lambda: logging.root.handlers)
    assert changes(stage.project) == []
    stage.project.enter(logging.disable, logging.ERROR)
    stage.project.enter(logging.basicConfig, force=True, level=logging.ERROR)
    stage.project.enter(setattr, logging.getLogger("scrapy"), "disabled", True)
    assert changes(stage.project) == [
        "handlers of the root logger",
        "logging.disable(40)",
        "level of the root logger",
        "disabled logger 'scrapy'",
    ]


def test_everything_is_put_back() -> None:
    """The undo function leaves logging as it was."""

    def state() -> list[Any]:
        names = ("level", "handlers", "isEnabledFor", "callHandlers", "makeRecord")
        return [logging.Logger.__dict__.get(name) for name in names] + [
            logging.Manager.__dict__.get("disable"),
            logging._handlerList,  # type: ignore[attr-defined]
            logging.shutdown.__defaults__,
            logging.setLogRecordFactory,
            logging.root.level,
            globalLogPublisher.__dict__.get("addObserver"),
        ]

    before = state()
    undo = install_logging_views(lambda record: None)
    assert state() != before
    undo()
    assert state() == before
