"""A child that a run forks gives up what belongs to the hub, and never goes on as a second hub."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Any

from reactorhub.containment import contexts

_given_up: list[Callable[[], object]] = []


def in_each_child(call: Callable[[], object]) -> None:
    """Let each forked child call this first. It may close what the child must not keep."""
    _given_up.append(call)


def contain_children(loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """End a forked child that comes back to this loop. Return a function that undoes everything, for tests.

    The child has a copy of the whole hub. Without this it would answer requests and write into the ledger.
    """

    def end_at_the_loop() -> None:
        handle: Any = asyncio.events.Handle
        run = handle._run

        def run_or_leave(self: Any) -> None:
            if self._loop is loop:
                os._exit(os.EX_SOFTWARE)
            run(self)

        handle._run = run_or_leave
        contexts.this_is_a_child()

    in_each_child(end_at_the_loop)
    return _given_up.clear


def _give_up() -> None:
    for call in tuple(_given_up):
        with suppress(Exception):  # a child that keeps one thing gives up the others all the same
            Context().run(call)  # the hub's own code, not that of the run that forks


os.register_at_fork(after_in_child=_give_up)
