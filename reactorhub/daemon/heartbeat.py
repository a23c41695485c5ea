"""Looks once a second whether a run has changed what the whole process shares, and puts it right."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from reactorhub.containment.contexts import runs_at_work

EVERY = 1.0
"""Seconds between two looks."""

_MAX_NAMED = 5  # runs that one line names

PutRight = Callable[[], list[str]]
"""Puts something back and returns what it was, for a message."""


class Heartbeat:
    """One line in the hub's log says what was put right, and which runs are at work.

    If there was only one since the last look, its own log says so, too.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.at_each_end: list[PutRight] = []
        """What is looked at whenever a run ends, too: a signal must not be lost in between."""
        self.each_second: list[PutRight] = []
        self._ended = False
        """Whether a run has ended since the last look: it may have changed what is found now."""
        self._loop = LoopingCall(self.look)
        self._loop.clock = clock

    def start(self) -> None:
        """Look now, and each second from now on."""
        self._loop.start(EVERY)

    def look(self) -> None:
        """Look at everything, and say what was put right."""
        self._put_right([*self.at_each_end, *self.each_second], blame=not self._ended)
        self._ended = False

    def run_ends(self) -> None:
        """Look at what is to be looked at when a run ends, and say what was put right."""
        self._ended = True
        self._put_right(self.at_each_end)

    def imported(self, project: str) -> None:
        """Put right at once what the import of a project has changed, before any run of others meets it."""
        if changed := self._changed([*self.at_each_end, *self.each_second]):
            self.log.warn(
                "put right what the import of project {project!r} changed for the whole process: {what}",
                project=project,
                what="; ".join(changed),
            )

    def _changed(self, looks: Sequence[PutRight]) -> list[str]:
        return [text for look in looks for text in look()]

    def _put_right(self, looks: Sequence[PutRight], *, blame: bool = True) -> None:
        changed = self._changed(looks)
        if not changed:
            return
        runs = runs_at_work()
        what = "; ".join(changed)
        whose = ", ".join(f"run {run.run_id}" for run in runs[:_MAX_NAMED]) or "no run"
        self.log.warn(
            "put right what changed for the whole process: {what}; at work: {whose}",
            what=what,
            whose=whose,
        )
        if len(runs) == 1 and blame:
            text = "the hub has put right what this run changed for the whole process: %s"
            runs[0].enter(logging.getLogger(__name__).warning, text, what)
