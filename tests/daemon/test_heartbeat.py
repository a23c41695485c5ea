"""The heartbeat looks each second and at the end of each run, and says what was put right."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from reactorhub.containment.contexts import RunContext
from reactorhub.containment.logging_views import install_logging_views
from reactorhub.containment.memory_log import MemoryRunLog
from reactorhub.containment.run_logs import routing
from reactorhub.daemon.heartbeat import Heartbeat


class Beating:
    """A heartbeat on a clock, and what it says in the hub's log."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.heartbeat = Heartbeat(self.clock)  # type: ignore[arg-type]
        self.signals: list[str] = []
        self.others: list[str] = []
        self.heartbeat.at_each_end.append(lambda: [self.signals.pop()] if self.signals else [])
        self.heartbeat.each_second.append(lambda: [self.others.pop()] if self.others else [])
        self.said: list[str] = []

    def __enter__(self) -> Beating:
        globalLogPublisher.addObserver(self._note)
        return self

    def __exit__(self, *exc_info: object) -> None:
        globalLogPublisher.removeObserver(self._note)

    def _note(self, event: LogEvent) -> None:
        if event["log_namespace"].startswith("reactorhub.daemon.heartbeat"):
            self.said.append(formatEvent(event))


def test_one_line_a_second_says_it() -> None:
    """Everything that was put right in one look stands in one line; nothing changed, nothing said."""
    with Beating() as beating:
        beating.heartbeat.start()
        beating.clock.advance(1)
        assert beating.said == []
        beating.signals.append("the handler of SIGTERM")
        beating.others.append("the locale")
        beating.clock.advance(1)
        (line,) = beating.said
        assert "the handler of SIGTERM; the locale; at work: " in line
        beating.clock.advance(5)
        assert len(beating.said) == 1


def test_the_end_of_a_run_looks_at_signals_only() -> None:
    """A signal must not be lost until the next second; the rest can wait."""
    with Beating() as beating:
        beating.signals.append("the handler of SIGTERM")
        beating.others.append("the locale")
        beating.heartbeat.run_ends()
        assert beating.others == ["the locale"]
        assert "the handler of SIGTERM; at work: " in beating.said[0]


def test_the_only_run_at_work_is_told() -> None:
    """With one run at work it is known whose it was, and the hub's line names it."""
    for other in list_of_runs_left_by_other_tests():
        other.over = True
    run = RunContext("only", MemoryRunLog())
    with Beating() as beating:
        beating.others.append("the locale")
        beating.heartbeat.look()
        assert beating.said[0].endswith("at work: run only")
        run.over = True
        beating.others.append("the locale")
        beating.heartbeat.look()
        assert beating.said[1].endswith("at work: no run")


def list_of_runs_left_by_other_tests() -> list[RunContext]:
    """Contexts that other tests have made and not ended."""
    from reactorhub.containment.contexts import runs_at_work

    return runs_at_work()


def test_an_import_is_looked_at_at_once() -> None:
    """What a project's import has changed is put right before runs meet it, and no run is blamed for it."""
    with Beating() as beating:
        run = RunContext("1", MemoryRunLog())
        beating.others.append("asyncio.Task")
        beating.heartbeat.imported("shop")
        beating.heartbeat.imported("press")
        assert beating.said == [
            "put right what the import of project 'shop' changed for the whole process: asyncio.Task"
        ]
        assert isinstance(run.log, MemoryRunLog)
        assert run.log.records == []
        run.over = True


def test_a_run_is_blamed_only_if_it_was_alone() -> None:
    """A run that has ended since the last look may have done it: the log of the other says nothing."""
    for other in list_of_runs_left_by_other_tests():
        other.over = True
    run = RunContext("1", MemoryRunLog())
    said: list[str] = []
    run.log.take = lambda record, handler=None: said.append(record.getMessage())  # type: ignore[method-assign]
    undo = install_logging_views(routing(lambda record: None))
    with Beating() as beating:
        beating.heartbeat.run_ends()
        for what in ("the locale", "the umask"):
            beating.others.append(what)
            beating.heartbeat.look()
    run.over = True
    undo()
    assert said == ["the hub has put right what this run changed for the whole process: the umask"]
