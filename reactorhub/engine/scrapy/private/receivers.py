"""Lets what a run or an import connects to the signals of all senders hear its own runs only.

Old projects write ``dispatcher.connect(self.spider_closed, signals.spider_closed)``. That names no sender, as
one crawl is all there is in their process. Here such a receiver would hear every crawl of the hub.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import Any
from weakref import ref

from scrapy.signalmanager import dispatcher  # type: ignore[attr-defined]
from scrapy.utils import signal as signal_utils

from reactorhub.containment.contexts import Owner, RunContext, here

Undo = Callable[[], None]

_SENDERS = (dispatcher.Any, dispatcher.Anonymous)


class _Connections:
    """Who has connected receivers to the signals of anybody."""

    def __init__(self) -> None:
        self._owners: dict[int, tuple[ref[Any], Owner]] = {}

    def note(self, receiver: Any, owner: Owner) -> None:
        """Note whose a receiver is, for as long as it lives."""
        target = _target(receiver)
        key = id(target)
        with suppress(TypeError):  # no weak reference can be had: so the dispatcher keeps none either
            self._owners[key] = ref(target, lambda _: self._owners.pop(key, None)), owner

    def hears(self, receiver: Any) -> bool:
        """Return whether a receiver may hear what the executing code sends."""
        if not self._owners:
            return True
        known = self._owners.get(id(_target(receiver)))
        if known is None:
            return True
        sender = here()
        return sender is None or known[1] in (sender, sender.parent)


def keep_receivers_apart() -> Undo:
    """Change the dispatcher of signals. Return a function that undoes this."""
    connections = _Connections()
    connect, live = dispatcher.connect, dispatcher.liveReceivers

    def connected(
        receiver: Any, signal: Any = dispatcher.Any, sender: Any = dispatcher.Any, weak: bool = True
    ) -> None:
        connect(receiver, signal, sender, weak)
        owner = here()
        if owner is not None and any(sender is each for each in _SENDERS):
            connections.note(receiver, owner)
            if not weak and isinstance(owner, RunContext):
                owner.at_end.append(lambda: dispatcher.disconnect(receiver, signal, sender, weak))

    def live_receivers(receivers: Iterable[Any]) -> Iterator[Any]:
        return (each for each in live(receivers) if connections.hears(each))

    with ExitStack() as stack:
        modules: tuple[tuple[Any, str, Any], ...] = (
            (dispatcher, "connect", connected),
            (dispatcher, "liveReceivers", live_receivers),
            (signal_utils, "liveReceivers", live_receivers),
        )
        for module, name, call in modules:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, call)
        return stack.pop_all().close


def _target(receiver: Any) -> Any:
    """Return what lives as long as a receiver: of a method its object, as each look-up makes a new method."""
    bound = getattr(receiver, "__self__", None)
    return receiver if bound is None else bound
