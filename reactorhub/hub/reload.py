"""Brings a changed schedule file into force: all of it, or nothing and a report of what is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.config import HubConfig
from reactorhub.engine.protocols import ProjectLoader
from reactorhub.errors import ConfigError, LedgerError, ReactorHubError
from reactorhub.hub.hub import Hub
from reactorhub.model.values import View
from reactorhub.notifications.channels.channel import Channel
from reactorhub.notifications.notifier import Notifier
from reactorhub.schedules.scheduler import Scheduler
from reactorhub.storage.retention import Retention

_EVERY = 1.0  # seconds between two looks at the file
_AGAIN = 60.0  # seconds until a file that the ledger could not keep is read again


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """The parts of the hub that follow the schedule file, and the order in which they do."""

    hub: Hub
    projects: ProjectLoader
    scheduler: Scheduler
    notifier: Notifier
    channels: Callable[[HubConfig], Mapping[str, Channel]]
    """Makes the senders of a config's channels."""

    retention: Retention

    async def put_in_force(self, new: HubConfig) -> View:
        """Let the hub go on with another config; return what changed.

        The steps that can fail come first. The ledger is written before anything follows the new file.

        :raises ConfigError: if a loaded project would have to be loaded again.
        :raises LedgerError: if the ledger could not write the change. Then the old config stays in force.
        """
        self._refuse_moved_projects(new)
        await self.projects.load({**self.hub.config.projects, **new.projects}, new.specs)
        try:
            changes = await self.hub.put_in_force(new)
        finally:
            # the projects of the config that is in force now
            await self.projects.load(self.hub.config.projects, anew=False)
        self.scheduler.set_entries(self.hub.entries())
        self.notifier.use(self.channels(new))
        self.retention.rule = new.retention
        return changes

    def _refuse_moved_projects(self, new: HubConfig) -> None:
        message = "a loaded project cannot change while the hub runs; restart it"
        if moved := self.projects.moved(new.projects):
            raise ConfigError([new.mistake(("hub", "projects", name), message) for name in moved])


class Reloader:
    """Reads the file again when told to, and when it has changed and been left alone for a second; where the
    ledger could not keep the change, once a minute until it can.

    However often it is told to, one reload at most is under way and one waits. Whoever asks meanwhile shares
    the one that waits: it begins after they asked, and so reads the file as they left it.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        hub: Hub,
        signature: Callable[[], Deferred[Any]],
        read: Callable[[], Deferred[HubConfig]],
        put_in_force: Callable[[HubConfig], Awaitable[View]],
    ) -> None:
        """
        :param signature: fires with a value that differs when the file has changed.
        :param read: fires with what the file says; fails with ConfigError.
        :param put_in_force: makes the hub go on with another config; raises ConfigError where it cannot.
        """
        self._hub = hub
        self._signature = signature
        self._read = read
        self._put_in_force = put_in_force
        self._sharers: list[Deferred[View]] = []
        self._under_way = False
        self._known: Any = None
        self._seen: Any = None
        self._clock = clock
        self._again_at: float | None = None
        self._loop = LoopingCall(lambda: Deferred.fromCoroutine(self._look()).addErrback(self._broken))
        self._loop.clock = clock

    def watch(self, known: object) -> None:
        """Begin to look at the file.

        :param known: its signature from before the config in force was read.
        """
        self._known = self._seen = known
        self._loop.start(_EVERY, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()

    async def reload(self) -> View:
        """Read the file and put it in force; return what changed.

        :raises ConfigError: with all that is wrong with it; the config in force stays.
        :raises LedgerError: if the change could not be kept; the config in force stays.
        """
        share: Deferred[View] = Deferred()
        self._sharers.append(share)
        if not self._under_way:
            self._begin()
        return await share

    def _begin(self) -> None:
        """Reload once for all who wait, and then for those who came meanwhile."""
        sharers, self._sharers, self._under_way = self._sharers, [], True
        going = Deferred.fromCoroutine(self._reload())
        going.addBoth(self._done, sharers)

    def _done(self, result: View | Failure, sharers: list[Deferred[View]]) -> None:
        self._under_way = False
        if self._sharers:
            self._begin()
        for share in sharers:
            share.callback(result)

    async def _reload(self) -> View:
        self._again_at = None
        try:
            self._known = self._seen = await self._signature()
            changes = await self._put_in_force(_not_empty(await self._read()))
        except ReactorHubError as error:
            mistakes = error.mistakes if isinstance(error, ConfigError) else (error,)
            if isinstance(error, LedgerError):  # no mistake of the file: nobody will edit it for that
                self._again_at = self._clock.seconds() + _AGAIN
            self._hub.reject(tuple(str(mistake) for mistake in mistakes))
            self.log.error("the schedule file is not put in force:\n{error}", error=error)
            raise
        self.log.info(
            "the schedule file is in force: added {added}, changed {changed}, removed {removed}, "
            "unchanged {unchanged}",
            **changes,
        )
        if changes["added_projects"] or changes["removed_projects"]:
            self.log.info("projects: added {added_projects}, removed {removed_projects}", **changes)
        if changes["needs_restart"]:
            keys = ", ".join(f"hub.{key}" for key in changes["needs_restart"])
            self.log.warn("{keys}: read at the start only; restart the hub to put that in force", keys=keys)
        return changes

    async def reload_quietly(self) -> None:
        """Reload; what goes wrong is in the log, the status and the events, and goes no further."""
        try:
            await self.reload()
        except ReactorHubError:
            return

    def _broken(self, failure: Failure) -> None:
        self.log.failure("the hub has an error in reading the schedule file; it will look again", failure)

    async def _look(self) -> None:
        now = await self._signature()
        settled, self._seen = now == self._seen, now
        due_again = self._again_at is not None and self._clock.seconds() >= self._again_at
        if settled and (now != self._known or due_again):
            await self.reload_quietly()


def _not_empty(config: HubConfig) -> HubConfig:
    """An editor may empty the file before it writes it, and what it has not written yet ends no schedule.

    :raises ConfigError: if the file says nothing.
    """
    if config.says_nothing:
        why = "the file is empty; to go on without schedules, write `schedules: {}`"
        raise ConfigError([config.mistake((), why)])
    return config
