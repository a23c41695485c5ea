"""No run's code ends the loop, and lost errors go to the run that they belong to."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from reactorhub.containment.contexts import ProjectContext, RunContext, watch_collector
from reactorhub.containment.logging_views import install_logging_views
from reactorhub.containment.loop import LoopGuard, contain_loop
from reactorhub.containment.memory_log import MemoryRunLog
from reactorhub.containment.run_logs import routing
from reactorhub.containment.threads import carry_contexts_into_new_threads
from reactorhub.errors import EscapedError


class Stage:
    """A loop of its own with two runs, and what the hub's log gets."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.run = RunContext("mine", MemoryRunLog())
        self.neighbour = RunContext("neighbour", MemoryRunLog())
        self.hub: list[str] = []

    def turn(self) -> None:
        """Let the loop do what is ready, for some turns."""
        self.loop.run_until_complete(asyncio.sleep(0.01))


@contextmanager
def staged() -> Iterator[Stage]:
    """A stage whose loop is contained."""
    stage = Stage()
    undo = [
        watch_collector(),
        install_logging_views(routing(lambda record: stage.hub.append(record.getMessage()))),
        contain_loop(stage.loop),
    ]
    try:
        yield stage
    finally:
        for each in reversed(undo):
            each()
        stage.loop.close()


def errors(run: RunContext) -> list[str]:
    """The last lines of the exceptions in a run's log."""
    assert isinstance(run.log, MemoryRunLog)
    return [repr(record.exc_info[1]) for record in run.log.records if record.exc_info]


class Panic(BaseException):
    """An exception of no known kind, as a library in another language may raise it."""


def raises(error: BaseException) -> Callable[..., None]:
    """Return a function that raises."""

    def function(*args: object) -> None:
        raise error

    return function


ERRORS = [
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    Panic(),
    ValueError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_callback_of_a_run_ends_nothing(error: BaseException) -> None:
    """What call_soon, call_later, a done callback or a reader raises is that run's error."""
    with staged() as stage:

        def arm() -> None:
            stage.loop.call_soon(raises(error))
            stage.loop.call_later(0.001, raises(error))
            stage.loop.create_future().add_done_callback(raises(error))

        def done() -> None:
            future = stage.loop.create_future()
            future.add_done_callback(raises(error))
            future.set_result(None)

        stage.run.enter(arm)
        stage.run.enter(done)
        stage.turn()
        stage.turn()
        assert errors(stage.run) == [repr(error)] * 3
        assert stage.run.exceptions == 1, "it is one and the same object"
        assert (errors(stage.neighbour), stage.hub) == ([], [])


def test_a_task_of_a_run_ends_nothing() -> None:
    """SystemExit in a task ends that task; who awaits it gets it, and the loop goes on."""
    with staged() as stage:

        async def leave() -> None:
            raise SystemExit(5)

        task = stage.run.enter(stage.loop.create_task, leave())
        stage.turn()
        assert isinstance(task.exception(), SystemExit)
        assert errors(stage.run) == ["SystemExit(5)"]


def test_the_hub_s_own_callbacks_may_end_it() -> None:
    """What belongs to nobody is the hub's, which may raise SystemExit as any program."""
    with staged() as stage:
        stage.loop.call_soon(raises(SystemExit(4)))
        with pytest.raises(SystemExit):
            stage.turn()


def test_lost_tasks_are_told_to_their_run() -> None:
    """The collector finds lost tasks in the middle of a neighbour's code; the neighbour's log stays clean."""
    with staged() as stage:

        async def fail() -> None:
            raise ValueError("lost")

        async def wait() -> None:
            await stage.loop.create_future()

        def lose() -> None:
            for work in (fail, wait):
                circle: list[Any] = [stage.loop.create_task(work())]
                circle.append(circle)

        stage.run.enter(lose)
        stage.turn()
        stage.neighbour.enter(gc.collect)
        assert isinstance(stage.run.log, MemoryRunLog)
        said = [record.getMessage() for record in stage.run.log.records]
        assert sum("never retrieved" in each for each in said) == 1
        assert sum("was destroyed but it is pending" in each for each in said) == 1
        assert stage.run.exceptions == 1
        assert errors(stage.neighbour) == []
        assert isinstance(stage.neighbour.log, MemoryRunLog)
        assert stage.neighbour.log.records == []


def test_tasks_are_known_to_their_run() -> None:
    """A run knows the tasks that work for it, whatever keywords the loop passes on."""
    with staged() as stage:

        async def nothing() -> None:
            pass

        factory: Any = stage.loop.get_task_factory()
        named = stage.run.enter(stage.loop.create_task, nothing(), name="own")
        plain = stage.run.enter(factory, stage.loop, nothing(), name=None)
        stage.loop.create_task(nothing())
        assert set(stage.run.tasks) == {named, plain}
        assert (named.get_name(), plain.get_name()) == ("own", stage.run.task_name)
        stage.turn()


class Reactor:
    """A reactor's double that says what it was told."""

    def __init__(self, loop: Any) -> None:
        self._asyncioEventloop = loop
        self.told: list[str] = []

    def _tell(self) -> None:
        self.told.append("told")

    stop = crash = run = fireSystemEvent = iterate = _tell


def test_only_the_hub_stops_the_reactor() -> None:
    """A run and an import cannot end the reactor, nor change or close its loop; the hub can."""
    with staged() as stage:
        reactor: Any = Reactor(stage.loop)
        undo = LoopGuard(reactor, lambda: None).install()
        project = ProjectContext("lab")
        calls = [reactor.stop, reactor.crash, reactor.run, reactor.fireSystemEvent, stage.loop.stop]
        for call in [*calls, stage.loop.close]:
            stage.run.enter(call)
            project.importing = True
            with pytest.raises(ImportError, match="__main__"):
                project.enter(call)
            project.importing = False
            project.enter(call)
        stage.run.enter(stage.loop.set_exception_handler, None)
        assert reactor.told == []
        stage.turn()
        for call in calls[:-1]:
            call()
        assert len(reactor.told) == 4
        undo()


def test_a_loop_that_ends_without_an_order() -> None:
    """The process ends at once; after an order to stop it ends as usual."""
    with staged() as stage:
        reactor: Any = Reactor(stage.loop)
        left: list[str] = []
        guard = LoopGuard(reactor, lambda: left.append("left"))
        undo = guard.install()
        stage.loop.call_soon(stage.loop.stop)
        stage.loop.run_forever()
        assert left == ["left"]
        guard.stop()
        stage.loop.call_soon(stage.loop.stop)
        stage.loop.run_forever()
        assert (left, reactor.told) == (["left"], ["told"])
        undo()


def test_generator_exit_does_not_close_who_awaits() -> None:
    """GeneratorExit of a task or of a thread's call is an ordinary exception for the code that awaits it."""
    with staged() as stage:

        async def leave() -> None:
            raise GeneratorExit

        async def wait() -> list[str]:
            caught = []
            for awaited in (asyncio.ensure_future(leave()), asyncio.to_thread(raises(GeneratorExit()))):
                try:
                    await awaited
                except EscapedError as error:
                    caught.append(str(error))
            return caught

        undo = carry_contexts_into_new_threads()
        try:
            caught = stage.loop.run_until_complete(stage.run.enter(stage.loop.create_task, wait()))
        finally:
            undo()
        assert len(caught) == 2
        assert all("GeneratorExit" in each for each in caught)
