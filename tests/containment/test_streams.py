"""Printed lines find the run that printed them, whatever its code does to the streams."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import io
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reactorhub.containment.contexts import (
    EMITTING,
    ProjectContext,
    RunContext,
    as_owner,
    here,
    watch_collector,
)
from reactorhub.containment.memory_log import MemoryRunLog
from reactorhub.containment.streams import LONGEST_PRINTED, finish_lines, install_streams
from reactorhub.containment.threads import carry_contexts_into_new_threads


class Stage:
    """Installed streams, a run, and what has been printed for the hub."""

    def __init__(self) -> None:
        self.hub: list[str] = []
        self.log = MemoryRunLog()
        self.run = RunContext("1", self.log)

    def says(self, code: Callable[[], object]) -> list[str]:
        """The lines that a run's log gets when the run executes some code."""
        self.run.enter(code)
        finish_lines(self.run)
        return self.log.lines


def staged(test: Callable[..., None]) -> Callable[..., None]:
    """Give a test a stage. A fixture could not: pytest puts its own streams in place after fixtures."""

    @functools.wraps(test)
    def run(**values: Any) -> None:
        stage = Stage()
        with contextlib.ExitStack() as undone:
            undone.callback(watch_collector())
            undone.callback(carry_contexts_into_new_threads())
            undone.callback(install_streams(lambda name, line: stage.hub.append(f"{name}: {line}")))
            test(stage=stage, **values)

    signature = inspect.signature(test)
    others = [each for each in signature.parameters.values() if each.name != "stage"]
    run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    return run


@staged
def test_lines_belong_to_whoever_prints_them(stage: Stage) -> None:
    """A run's lines go to its log, all others to the hub's."""
    print("before")
    assert stage.says(lambda: print("mine\nstill mine")) == ["stdout: mine", "stdout: still mine"]
    print("after", file=sys.stderr)
    assert stage.hub == ["stdout: before", "stderr: after"]


@staged
def test_pieces_are_put_together_for_each_run(stage: Stage) -> None:
    """Two runs that print pieces of lines in turns get whole lines; the rest is written at the end."""
    other = RunContext("2", MemoryRunLog())
    for text in ("a", "b\n", "c"):
        stage.run.enter(sys.stdout.write, text)
        other.enter(sys.stdout.write, text.upper())
    assert stage.log.lines == ["stdout: ab"]
    finish_lines(stage.run)
    assert stage.log.lines == ["stdout: ab", "stdout: c"]


PRINTED: list[tuple[str, Callable[[], object], list[str]]] = [
    ("bytes", lambda: sys.stdout.buffer.write("ä\n".encode()), ["stdout: ä"]),
    ("half a letter", lambda: [sys.stdout.buffer.write(b) for b in (b"\xc3", b"\xa4\n")], ["stdout: ä"]),
    ("no UTF-8", lambda: sys.stdout.buffer.write(b"\xff\n"), ["stdout: \\xff"]),
    ("a surrogate", lambda: print("\ud800"), ["stdout: \ud800"]),
    ("a progress bar", lambda: [sys.stderr.write(f"\r{n}") for n in range(200)], ["stderr: 199"]),
    ("carriage returns behind", lambda: [sys.stderr.write(f"{n}\r") for n in range(9)], ["stderr: 8"]),
    ("CRLF", lambda: sys.stdout.write("one\r\ntwo\r\n"), ["stdout: one", "stdout: two"]),
    ("the first streams", lambda: print("x", file=sys.__stdout__), ["stdout: x"]),
    ("writelines", lambda: sys.stdout.writelines(["a\n", "b\n"]), ["stdout: a", "stdout: b"]),
    ("reconfigure", lambda: (sys.stdout.reconfigure(encoding="latin-1"), print("é")), ["stdout: é"]),  # type: ignore[union-attr]
    ("close", lambda: (sys.stdout.close(), print("x")), ["stdout: x"]),
    ("detach", lambda: (sys.stdout.detach().write(b"b\n"), print("x")), ["stdout: b", "stdout: x"]),  # type: ignore[union-attr]
    ("None", lambda: (setattr(sys, "stdout", None), print("x"), sys.stderr.write("y")), ["stderr: y"]),
    ("nothing", lambda: print(end="\n"), ["stdout: "]),
]


@pytest.mark.parametrize(("code", "lines"), [row[1:] for row in PRINTED], ids=[row[0] for row in PRINTED])
@staged
def test_what_stands_in_the_log(stage: Stage, code: Callable[[], object], lines: list[str]) -> None:
    """Text and bytes of any kind become whole lines, and the stream can be used as a real one."""
    assert stage.says(code) == lines


@staged
def test_long_lines_are_cut(stage: Stage) -> None:
    """A line without an end does not gather in memory, and none of it is lost."""
    lines = stage.says(lambda: [sys.stdout.write("x" * 1000) for _ in range(200)])
    assert max(map(len, lines)) <= LONGEST_PRINTED + len("stdout: ")
    assert sum(line.count("x") for line in lines) == 200_000
    assert stage.says(lambda: print("y" * 200_000)) is lines
    assert sum(line.count("y") for line in lines) == 200_000


@staged
def test_a_wrapper_that_is_collected(stage: Stage) -> None:
    """A wrapper around the buffer closes it when it is collected; later prints work all the same."""

    def wrap() -> None:
        wrapper = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
        sys.stdout = wrapper
        print("through sys.stdout")
        wrapper.write("wrapped\n")

    assert stage.says(wrap) == ["stdout: through sys.stdout", "stdout: wrapped"]
    gc.collect()
    assert stage.says(lambda: print("later"))[-1] == "stdout: later"


@staged
def test_an_assignment_holds_for_its_owner(stage: Stage) -> None:
    """redirect_stdout in a run catches that run's words, while others print as before."""
    caught = io.StringIO()

    async def redirect() -> None:
        with contextlib.redirect_stdout(caught):
            print("caught")
            await asyncio.sleep(0.02)
            print("caught too")
        print("free")

    async def both() -> None:
        task = stage.run.enter(asyncio.get_running_loop().create_task, redirect())
        await asyncio.sleep(0.01)
        print("hub")
        await task

    loop = asyncio.new_event_loop()  # asyncio.run() would take the reactor's loop away from later tests
    loop.run_until_complete(both())
    loop.close()
    assert caught.getvalue() == "caught\ncaught too\n"
    assert (stage.log.lines, stage.hub) == (["stdout: free"], ["stdout: hub"])


@staged
def test_a_project_s_assignment_holds_for_its_runs(stage: Stage) -> None:
    """What a module assigns at import is inherited by the project's runs, and by no other."""
    project = ProjectContext("shop")
    sink = io.StringIO()
    project.enter(setattr, sys, "stdout", sink)
    RunContext("2", MemoryRunLog(), project).enter(print, "inherited")
    assert sink.getvalue() == "inherited\n"
    assert stage.says(lambda: print("mine")) == ["stdout: mine"]


@staged
def test_a_tee_that_writes_to_the_first_stream(stage: Stage) -> None:
    """An object in the stream's place that writes on into it causes no circle."""

    class Tee:
        def write(self, text: str) -> int:
            sys.__stdout__.write(text.upper())  # type: ignore[union-attr]
            return sys.stdout.write("") if text == "never" else len(text)

    assert stage.says(lambda: (setattr(sys, "stdout", Tee()), print("tee"))) == ["stdout: TEE"]


@staged
def test_threads_print_for_their_run(stage: Stage) -> None:
    """Threads and pools that a run's code uses belong to the run; a pool's worker does not stay with it."""
    pool = ThreadPoolExecutor(1)

    def use() -> None:
        thread = threading.Thread(target=print, args=("thread",))
        thread.start()
        thread.join()
        pool.submit(print, "pool").result()

    assert stage.says(use) == ["stdout: thread", "stdout: pool"]
    pool.submit(print, "hub").result()
    assert stage.hub == ["stdout: hub"]
    pool.shutdown()


@staged
def test_what_a_log_handler_prints_is_dropped(stage: Stage) -> None:
    """While a handler of a project is at work its words stand in the log already."""

    def emit() -> None:
        EMITTING.now = True
        try:
            print("again", file=sys.stderr)
            sys.stderr.buffer.write(b"again\n")
        finally:
            EMITTING.now = False

    assert stage.says(emit) == []
    assert stage.hub == []


@staged
def test_finalizers_belong_to_nobody(stage: Stage) -> None:
    """What the garbage collector finds in the middle of a run's code is printed for the hub."""

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            print("collected")

    Cycle()
    assert stage.says(gc.collect) == []
    assert stage.hub == ["stdout: collected"]


@staged
def test_whose_finalizer_is_known(stage: Stage) -> None:
    """A finalizer that remembers its context is heard for its owner even during a collection."""
    contexts: list[Any] = []
    stage.run.enter(lambda: contexts.append(__import__("contextvars").copy_context()))

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            as_owner(contexts[0], print, "mine")

    Cycle()
    gc.collect()
    assert stage.log.lines == ["stdout: mine"]


@staged
def test_after_the_end_of_a_run(stage: Stage) -> None:
    """What a thread prints after its run has ended goes to the hub's log."""
    stage.run.over = True
    assert stage.says(lambda: print("late")) == []
    assert stage.hub == ["stdout: late"]
    assert stage.run.enter(here) is None


@staged
def test_a_child_process_may_inherit_it(stage: Stage) -> None:
    """subprocess takes the stream for a file; input() finds an empty one."""

    def use() -> None:
        subprocess.run(["true"], stdout=sys.stdout, stderr=sys.stderr, check=True)
        assert not sys.stdout.isatty()
        assert isinstance(sys.stdout, io.TextIOWrapper)
        with pytest.raises(EOFError):
            input()

    assert stage.says(use) == []


def test_everything_is_put_back() -> None:
    """The undo function leaves the module sys as it was."""
    before = (sys.stdout, sys.stderr, sys.stdin, sys.__stdout__, type(sys))
    install_streams(lambda name, line: None)()
    assert (sys.stdout, sys.stderr, sys.stdin, sys.__stdout__, type(sys)) == before
