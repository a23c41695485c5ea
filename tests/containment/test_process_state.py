"""What the process shares is compared with what it was, and put right."""

from __future__ import annotations

import asyncio
import builtins
import cProfile
import gc
import json
import locale
import os
import resource
import socket
import sys
import threading
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reactorhub.containment.process_state import ProcessState, described


@pytest.fixture
def loop() -> Iterator[Any]:
    """A loop of its own."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


def lower_files() -> None:
    """Lower the soft limit of open files, as a program may without any right."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


CHANGES: dict[str, Callable[[Any], object]] = {
    "the working folder": lambda loop: os.chdir("/"),
    "the umask": lambda loop: os.umask(0o123),
    "the locale": lambda loop: locale.setlocale(locale.LC_ALL, other_locale()),
    "warnings.filters": lambda loop: warnings.simplefilter("error"),
    "warnings.showwarning": lambda loop: setattr(warnings, "showwarning", print),
    "sys.excepthook": lambda loop: setattr(sys, "excepthook", print),
    "sys.unraisablehook": lambda loop: setattr(sys, "unraisablehook", print),
    "threading.excepthook": lambda loop: setattr(threading, "excepthook", print),
    "the loop's _exception_handler": lambda loop: loop.set_exception_handler(print),
    "the loop's _task_factory": lambda loop: loop.set_task_factory(asyncio.Task),
    "the asyncio policy": lambda loop: asyncio.set_event_loop_policy(None),
    "the default timeout of sockets": lambda loop: socket.setdefaulttimeout(0.01),
    "the recursion limit": lambda loop: sys.setrecursionlimit(500),
    "the switch interval": lambda loop: sys.setswitchinterval(1),
    "the garbage collector": lambda loop: gc.disable(),
    "the trace function": lambda loop: sys.settrace(lambda *_: None),
    "the profile function": lambda loop: sys.setprofile(lambda *_: None),
    "the tracing of memory": lambda loop: tracemalloc.start(),
    "asyncio.Task": lambda loop: setattr(asyncio, "Task", asyncio.tasks._PyTask),  # type: ignore[attr-defined]
    "JSONEncoder.default": lambda loop: setattr(json.JSONEncoder, "default", repr),
    "builtins.print": lambda loop: setattr(builtins, "print", repr),
    "asyncio.run": lambda loop: setattr(asyncio, "run", print),
    "_UnixSelectorEventLoop._run_once": lambda loop: setattr(type(loop), "_run_once", print),
    "the limit RLIMIT_NOFILE": lambda loop: lower_files(),
}


def other_locale() -> str:
    """Return a locale that is not in force."""
    return "C" if locale.setlocale(locale.LC_ALL) != "C" else "C.UTF-8"


@pytest.mark.parametrize("what", CHANGES)
def test_each_change_is_put_right_once(what: str, loop: Any) -> None:
    """It is named once, and everything is as it was."""
    before = ProcessState(loop)
    CHANGES[what](loop)
    said = before.put_right()
    assert [text.partition(" (")[0] for text in said] == [what]
    assert before.put_right() == []
    assert ProcessState(loop).put_right() == []


def test_a_profiler_of_the_hub_s_own_stays(loop: Any) -> None:
    """``twistd --profile`` starts one just before the reactor: it is in force to the end."""

    def called_afterwards() -> None:
        """Stand in the profile."""

    state, profiler = ProcessState(loop), cProfile.Profile()
    profiler.enable()
    try:
        state.keep_tracers()
        assert state.put_right() == []
        called_afterwards()
    finally:
        profiler.disable()
    assert called_afterwards.__code__ in [entry.code for entry in profiler.getstats()]


def test_what_cannot_be_put_right_is_said(tmp_path: Path, loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is gone stays gone, and nothing raises."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    state = ProcessState(loop)
    os.chdir("/")
    gone.rmdir()
    (said,) = state.put_right()
    assert said.startswith("the working folder ('/'), which cannot be put right: ")


def test_a_higher_recursion_limit_is_no_harm(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project that needs a deeper stack keeps it."""
    state, usual = ProcessState(loop), sys.getrecursionlimit()
    sys.setrecursionlimit(usual + 1)
    try:
        assert state.put_right() == []
    finally:
        sys.setrecursionlimit(usual)


def test_a_function_is_described_by_its_place() -> None:
    """The message says where what was put in place is defined; a strange object cannot spoil it."""
    assert described(other_locale).startswith("other_locale of ")
    assert "test_process_state.py:" in described(other_locale)

    class Strange:
        def __getattribute__(self, name: str) -> Any:
            raise SystemExit(name)

    assert described(Strange()) == "Strange"
    assert described(22) == "22"
