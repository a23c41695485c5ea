"""What runs and imports are refused, and what a child that a run forks may do all the same."""

from __future__ import annotations

import _thread
import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from reactorhub.containment import contexts
from reactorhub.containment.contexts import ProjectContext, RunContext
from reactorhub.containment.imports import guard_process
from reactorhub.containment.memory_log import MemoryRunLog


def await_it(coroutine: Any) -> object:
    """Await it in a loop of its own."""
    return asyncio.new_event_loop().run_until_complete(coroutine)


ENDS: dict[str, Callable[[], object]] = {
    "os._exit": lambda: os._exit(3),
    "os.abort": lambda: os.abort(),  # noqa: PLW0108 - the name is looked up once it is guarded
    "os.execv": lambda: os.execv("/bin/true", ["true"]),
    "os.execl": lambda: os.execl("/bin/true", "true"),
    "os.kill": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "os.kill of the group": lambda: os.kill(0, signal.SIGUSR1),
    "os.killpg": lambda: os.killpg(os.getpgrp(), signal.SIGINT),
    "signal.raise_signal": lambda: signal.raise_signal(signal.SIGINT),
    "signal.pthread_kill": lambda: signal.pthread_kill(_thread.get_ident(), signal.SIGINT),
    "_thread.interrupt_main": lambda: _thread.interrupt_main(),  # noqa: PLW0108 - likewise
}


@pytest.fixture(autouse=True)
def guarded() -> Iterator[None]:
    """Guards that are installed for one test."""
    undo = guard_process()
    yield
    undo()


@pytest.fixture
def run() -> RunContext:
    """A run of a project."""
    return RunContext("1", MemoryRunLog(), ProjectContext("lab"))


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_run_cannot_end_the_hub(run: RunContext, end: Callable[[], object]) -> None:
    """What would end the process, or signal it, is an exception that says what to do."""
    with pytest.raises(PermissionError, match="would end the hub and all runs in this process; raise Close"):
        run.enter(end)


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_what_a_run_has_left_behind_cannot_end_the_hub(run: RunContext, end: Callable[[], object]) -> None:
    """A thread goes on when its run is over, and is still not the hub's."""
    context = run.context
    run.over = True
    with pytest.raises(PermissionError, match="would end the hub"):
        context.run(end)


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_import_cannot_end_the_hub(run: RunContext, end: Callable[[], object]) -> None:
    """The module is broken, and its message says so."""
    assert isinstance(run.parent, ProjectContext)
    run.parent.importing = True
    with pytest.raises(ImportError, match="when it is imported"):
        run.parent.enter(end)


@pytest.mark.parametrize("wait", [lambda coroutine: asyncio.run(coroutine), await_it])  # noqa: PLW0108 - guarded
def test_an_import_cannot_await(run: RunContext, wait: Callable[[Any], object]) -> None:
    """The hub's loop runs already. The message says what to do, which asyncio's own does not."""

    async def import_module() -> None:
        coroutine = asyncio.sleep(0)
        with closing(coroutine), pytest.raises(ImportError, match="or write isolate: process"):
            project.enter(wait, coroutine)

    project = run.parent
    assert isinstance(project, ProjectContext)
    project.importing = True
    loop = asyncio.new_event_loop()
    loop.run_until_complete(import_module())
    assert project.enter(loop.run_until_complete, asyncio.sleep(0, "in a thread of its own")) is not None
    loop.close()


def test_other_processes_may_be_signalled(run: RunContext) -> None:
    """A run may ask whether a process lives, its own too, and end its own programs."""
    run.enter(os.kill, os.getpid(), 0)
    program = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    run.enter(os.kill, program, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]) == -signal.SIGKILL


def test_a_forked_child_is_its_own_master(run: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that a run forks may end, move and take signals: only itself is affected."""
    monkeypatch.setattr(contexts, "_is_child", True)
    run.enter(os.chdir, ".")
    before = run.enter(signal.signal, signal.SIGUSR2, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
    signal.signal(signal.SIGUSR2, before)
