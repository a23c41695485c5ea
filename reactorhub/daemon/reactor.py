"""Installs the one reactor before anything else installs another, and prepares it for a hub.

This module imports almost nothing at its top: an import there might install a reactor too early.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from reactorhub.errors import WrongReactor


def install() -> None:
    """Install the asyncio reactor.

    :raises WrongReactor: if another reactor is installed already.
    """
    present = sys.modules.get("twisted.internet.reactor")
    if present is None:
        from twisted.internet import asyncioreactor

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        asyncioreactor.install(loop)
    elif type(present).__name__ != "AsyncioSelectorReactor":
        raise WrongReactor(
            f"reactorhub needs the asyncio reactor, but {type(present).__name__} is installed; "
            "start it with: twistd --reactor=asyncio reactorhub"
        )


def prepare(reactor: Any, leave: Callable[[], object] | None = None) -> Callable[[], None]:
    """Prepare the reactor for many crawls, before anything is scheduled on it. Return its real ``stop``.

    The timers use the monotonic clock, so a step of the wall clock neither delays them nor fires them all.

    :param leave: called if the reactor ends without an order to stop; ends the process at once by default.
    """
    from reactorhub.containment.loop import LoopGuard
    from reactorhub.containment.reactor import carry_contexts

    reactor.seconds = time.monotonic
    carry_contexts(reactor)
    guard = LoopGuard(reactor, leave)
    guard.install()
    return guard.stop
