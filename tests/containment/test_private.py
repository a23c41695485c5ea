"""What the hub replaces in Python and Twisted is there: each test names the part that a new version lost."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import sys
from importlib import import_module
from typing import Any

import pytest

from reactorhub.containment.private import RELIED_ON, Part


@pytest.mark.parametrize("part", RELIED_ON, ids=lambda part: part.place)
def test_each_part_is_there(part: Part) -> None:
    """Each part is there and, if it is a function, takes the same parameters."""
    module, _, path = part.place.partition(":")
    found: Any = import_module(module)
    for name in path.split("."):
        assert hasattr(found, name), f"{part.place} is gone, which the hub needs: {part.reason}"
        found = getattr(found, name)
    if part.takes is not None:
        takes = tuple(inspect.signature(found).parameters)
        assert takes == part.takes, f"{part.place} takes {takes} now; the hub needs it: {part.reason}"


@pytest.mark.parametrize("name", ["level", "disabled", "propagate", "handlers", "filters"])
def test_loggers_keep_what_the_hub_gives_each_owner(name: str) -> None:
    """These are plain attributes of each logger, so that a descriptor can stand before them."""
    assert name in vars(logging.getLogger("some.name")), f"Logger no longer has {name} of its own"


def test_the_manager_keeps_disable_beside_a_property() -> None:
    """``Manager.disable`` is a property over ``_disable``."""
    manager = logging.Manager(logging.RootLogger(logging.INFO))
    manager.disable = logging.ERROR
    assert vars(manager)["_disable"] == logging.ERROR


def test_print_looks_into_the_dictionary_of_sys() -> None:
    """print() and C code find the stream in ``sys.__dict__``, past any property of the module."""
    written: list[str] = []
    before = sys.__dict__["stdout"]
    sys.__dict__["stdout"] = type("Stream", (), {"write": lambda self, text: written.append(text)})()
    try:
        print("hello", end="")  # noqa: T201 - this is what is tested
    finally:
        sys.__dict__["stdout"] = before
    assert "".join(written) == "hello"


def test_a_loop_keeps_what_a_run_has_left_behind() -> None:
    """Calls, timers and watched files can be looked through, and each knows its context and its function."""
    loop: Any = asyncio.new_event_loop()
    reading, writing = os.pipe()
    try:
        loop.call_soon(print, 1)
        loop.call_later(60, print, 2)
        loop.add_reader(reading, print, 3)
        watched = [key for key in loop._selector._fd_to_key.values() if key.fd == reading]
        handles = [loop._ready[-1], loop._scheduled[0], watched[0].data[0]]
        assert [handle._args for handle in handles] == [(1,), (2,), (3,)]
        assert all(handle._callback is print and handle._context is not None for handle in handles)
        loop._remove_reader(reading)
    finally:
        os.close(reading)
        os.close(writing)
        loop.close()


def test_a_task_says_whether_its_exception_is_lost() -> None:
    """``_log_traceback`` is true until somebody asks for the exception."""

    async def fail() -> None:
        raise ValueError

    async def look() -> tuple[bool, bool]:
        task: Any = asyncio.ensure_future(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        before = task._log_traceback
        task.exception()
        return before, task._log_traceback

    loop = asyncio.new_event_loop()  # asyncio.run() would take the reactor's loop away
    try:
        assert loop.run_until_complete(look()) == (True, False)
    finally:
        loop.close()
