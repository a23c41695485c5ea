"""What the hub replaces in Python and Twisted is there: each test names the part that a new version lost."""

from __future__ import annotations

import inspect
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
