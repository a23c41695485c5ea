"""What the hub replaces in Python and Twisted is there: each test names the part that a new version lost."""

from __future__ import annotations

import inspect
import logging
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
