"""Sinks without a server: one for tests that keeps everything, and one for a hub without Redis."""

from __future__ import annotations

from datetime import datetime

from twisted.internet.defer import Deferred, succeed

from reactorhub.events.sink import Sink, SinkState
from reactorhub.model.values import View


class MemorySink:
    """Keeps everything that is published. Tests read its attributes.

    ``runs`` is each run's newest view by id, ``latest`` the view of the run that started last by
    (project, spider), ``events`` all events in order, ``hubs`` each hub's newest heartbeat by name.
    """

    def __init__(self) -> None:
        self.runs: dict[str, View] = {}
        self.latest: dict[tuple[str, str], View] = {}
        self.events: list[View] = []
        self.hubs: dict[str, View] = {}
        self._state = "off"

    def start(self) -> Deferred[None]:
        """See :meth:`Sink.start`. Fires at once."""
        self._state = "connected"
        return succeed(None)

    def stop(self, within: float) -> Deferred[None]:
        """See :meth:`Sink.stop`. Fires at once."""
        self._state = "off"
        return succeed(None)

    def publish_run(self, run: View, at: datetime) -> None:
        """See :meth:`Sink.publish_run`."""
        self.runs[run["id"]] = run
        if run["started_at"] is None:
            return
        key = run["project"], run["spider"]
        if key not in self.latest or _start_order(run) >= _start_order(self.latest[key]):
            self.latest[key] = run

    def publish_event(self, event: View) -> None:
        """See :meth:`Sink.publish_event`."""
        self.events.append(event)

    def publish_hub(self, hub: View) -> None:
        """See :meth:`Sink.publish_hub`."""
        self.hubs[hub["name"]] = hub

    def state(self) -> SinkState:
        """Return ``connected`` between start and stop, else ``off``."""
        return SinkState(state=self._state)


def _start_order(run: View) -> tuple[str, str]:
    return run["started_at"], run["id"]


class NullSink:
    """The sink of a hub without Redis. It discards everything."""

    def start(self) -> Deferred[None]:
        """See :meth:`Sink.start`. Fires at once."""
        return succeed(None)

    def stop(self, within: float) -> Deferred[None]:
        """See :meth:`Sink.stop`. Fires at once."""
        return succeed(None)

    def publish_run(self, run: View, at: datetime) -> None:
        """Discard the view."""

    def publish_event(self, event: View) -> None:
        """Discard the view."""

    def publish_hub(self, hub: View) -> None:
        """Discard the view."""

    def state(self) -> SinkState:
        """Return ``off``."""
        return SinkState(state="off")


_memory: type[Sink] = MemorySink
_null: type[Sink] = NullSink
