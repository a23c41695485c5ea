"""The views and events that wait to be written to Redis. Bounded; only the newest view of a run stays."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

from reactorhub.model.run import FINAL
from reactorhub.model.values import View
from reactorhub.redis.commands import EventText

_FINAL = frozenset(state.value for state in FINAL)


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """A run's view, and when it was published."""

    view: View
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """The content of one write. If ``again``, an earlier write may already have stored these events."""

    runs: dict[str, WaitingRun]
    events: list[EventText]
    hub: View | None
    again: bool


class WriteBuffer:
    """Stores views and events until they are written. Ended runs are written first.

    Beyond ``max_runs`` the run that waits longest is dropped, live runs before ended ones. Beyond
    ``max_events`` the oldest event is dropped. ``dropped`` counts both.
    """

    def __init__(self, max_runs: int = 10_000, max_events: int = 10_000) -> None:
        self.dropped = 0
        self._max_runs = max_runs
        self._max_events = max_events
        self._ended: dict[str, WaitingRun] = {}
        self._live: dict[str, WaitingRun] = {}
        self._events: deque[EventText] = deque()
        self._hub: View | None = None
        self._again = False

    def __len__(self) -> int:
        return len(self._ended) + len(self._live) + len(self._events) + (self._hub is not None)

    def add_run(self, view: View, at: datetime) -> None:
        """Add a run's newest view. A view of a live run never replaces the view of its end."""
        run_id = view["id"]
        if view["state"] in _FINAL:
            self._live.pop(run_id, None)
            self._ended[run_id] = WaitingRun(view, at)
        elif run_id not in self._ended:
            self._live[run_id] = WaitingRun(view, at)
        self._drop_runs()

    def add_event(self, event: EventText) -> None:
        """Add an event after all earlier ones."""
        self._events.append(event)
        self._drop_events()

    def set_hub(self, view: View) -> None:
        """Replace the hub's heartbeat."""
        self._hub = view

    def take(self, max_runs: int, max_events: int) -> Write:
        """Remove and return the next write. Pass it to :meth:`give_back` if it fails."""
        runs = _pop_first(self._ended, max_runs)
        runs |= _pop_first(self._live, max_runs - len(runs))
        events = [self._events.popleft() for _ in range(min(max_events, len(self._events)))]
        write = Write(runs=runs, events=events, hub=self._hub, again=self._again)
        self._hub, self._again = None, False
        return write

    def give_back(self, write: Write) -> None:
        """Put a failed write back, before everything added since. A newer view of a run wins."""
        newer = self._ended.keys() | self._live.keys()
        runs = {run_id: run for run_id, run in write.runs.items() if run_id not in newer}
        ended = {run_id: run for run_id, run in runs.items() if run.view["state"] in _FINAL}
        live = {run_id: run for run_id, run in runs.items() if run_id not in ended}
        self._ended = ended | self._ended
        self._live = live | self._live
        self._events.extendleft(reversed(write.events))
        self._hub = self._hub or write.hub
        self._again = True
        self._drop_runs()
        self._drop_events()

    def _drop_runs(self) -> None:
        while len(self._ended) + len(self._live) > self._max_runs:
            _pop_first(self._live or self._ended, 1)
            self.dropped += 1

    def _drop_events(self) -> None:
        while len(self._events) > self._max_events:
            self._events.popleft()
            self.dropped += 1


def _pop_first(runs: dict[str, WaitingRun], count: int) -> dict[str, WaitingRun]:
    names = [run_id for run_id, _ in zip(runs, range(count), strict=False)]
    return {run_id: runs.pop(run_id) for run_id in names}
