"""The one reactor: installed before anything else can install another, and made fit for a hub.

This module imports no other room at its top, so that nothing can import a reactor before it has chosen.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from reactorhub.errors import WrongReactor


def install() -> None:
    """Make asyncio's the reactor of this process.

    :raises WrongReactor: if another is installed already.
    """
    present = sys.modules.get("twisted.internet.reactor")
    if present is None:
        from twisted.internet import asyncioreactor

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        asyncioreactor.install(loop)
    elif type(present).__name__ != "AsyncioSelectorReactor":
        raise WrongReactor(
            f"reactorhub runs on asyncio's reactor, but {type(present).__name__} is installed; "
            "start it with: twistd --reactor=asyncio reactorhub"
        )


def prepare(reactor: Any, leave: Callable[[], object] | None = None) -> Callable[[], None]:
    """Make the reactor fit for many crawls, before anything is scheduled on it. Return its real ``stop``.

    Its timers count on the monotonic clock, so that a step of the wall clock neither stalls nor bursts them.

    :param leave: called if the reactor ends without an order to stop; ends the process at once by default.
    """
    from reactorhub.containment.loop import LoopGuard
    from reactorhub.containment.reactor import carry_contexts

    reactor.seconds = time.monotonic
    carry_contexts(reactor)
    guard = LoopGuard(reactor, leave)
    guard.install()
    return guard.stop
