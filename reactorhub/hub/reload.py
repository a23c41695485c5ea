"""Puts a changed schedule file in force, all of it or nothing, and reports its mistakes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.config import HubConfig
from reactorhub.engine.protocols import ProjectLoader
from reactorhub.errors import ConfigError, LedgerError, ReactorHubError
from reactorhub.hub.code import CodeWatch
from reactorhub.hub.hub import Hub
from reactorhub.model.values import View
from reactorhub.notifications.channels.channel import Channel
from reactorhub.notifications.notifier import Notifier
from reactorhub.schedules.scheduler import Scheduler
from reactorhub.storage.retention import Retention

_EVERY = 1.0  # seconds between two checks; also how long the file must rest before it is read
_AGAIN = 60.0  # seconds until the next try if the ledger failed, so that the log is not flooded


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """Puts a config in force in each part of the hub that depends on the schedule file."""

    hub: Hub
    projects: ProjectLoader
    code: CodeWatch
    scheduler: Scheduler
    notifier: Notifier
    channels: Callable[[HubConfig], Mapping[str, Channel]]
    """Makes the senders of a config's channels."""

    retention: Retention

    async def put_in_force(self, new: HubConfig) -> View:
        """Put another config in force; return its changes.

        The steps that can fail come first. The ledger is written before anything follows the new file.

        :raises ConfigError: if a loaded project would have to be loaded again.
        :raises LedgerError: if the ledger could not write the change. Then the old config stays in force.
        """
        self._refuse_moved_projects(new)
        both = {**self.hub.config.projects, **new.projects}
        await self.code.load(both, partial(self.projects.load, both, new.specs))
        try:
            changes = await self.hub.put_in_force(new)
        finally:
            # the projects of the config that is in force now
            in_force = self.hub.config.projects
            await self.code.load(in_force, partial(self.projects.load, in_force, anew=False))
        self.scheduler.set_entries(self.hub.entries())
        self.notifier.use(self.channels(new))
        self.retention.rule = new.retention
        return changes

    def _refuse_moved_projects(self, new: HubConfig) -> None:
        message = "a loaded project cannot change while the hub runs; restart it"
        if moved := self.projects.moved(new.projects):
            raise ConfigError([new.mistake(("hub", "projects", name), message) for name in moved])


class Reloader:
    """Reloads the schedule file on request, and when the file has changed and then rested for a second.

    If the ledger could not write the change, the reload is repeated once a minute until it succeeds. At most
    one reload is under way and one waits. Requests that arrive meanwhile share the waiting reload: it begins
    after them, and so reads the file as it was at the time of the request or later.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        hub: Hub,
        *,
        signature: Callable[[], Deferred[Any]],
        read: Callable[[], Deferred[HubConfig]],
        put_in_force: Callable[[HubConfig], Awaitable[View]],
        load_code: Callable[[], Awaitable[list[View]]],
    ) -> None:
        """
        :param signature: fires with a value that differs when the file has changed.
        :param read: fires with the config that the file holds; fails with ConfigError.
        :param put_in_force: puts a config in force; raises ConfigError or LedgerError if it cannot.
        :param load_code: loads the changed code of all projects; returns their views.
        """
        self._hub = hub
        self._signature = signature
        self._read = read
        self._put_in_force = put_in_force
        self._load_code = load_code
        self._code_wanted = False
        self._sharers: list[Deferred[View]] = []
        self._under_way = False
        self._known: Any = None
        self._seen: Any = None
        self._clock = clock
        self._again_at: float | None = None
        self._loop = LoopingCall(lambda: Deferred.fromCoroutine(self._look()).addErrback(self._broken))
        self._loop.clock = clock

    def watch(self, known: object) -> None:
        """Start to check the file for changes.

        :param known: the signature of the file before the config in force was read.
        """
        self._known = self._seen = known
        self._loop.start(_EVERY, now=False)

    def stop(self) -> None:
        """Stop the checks."""
        if self._loop.running:
            self._loop.stop()

    async def reload(self, code: bool = False) -> View:
        """Read the file and put it in force; return its changes.

        :param code: then load the changed code of projects, too; the answer has their views. Code that cannot
            be imported raises nothing.
        :raises ConfigError: with all mistakes of the file. The old config stays in force.
        :raises LedgerError: if the ledger could not write the change. The old config stays in force.
        """
        share: Deferred[View] = Deferred()
        self._sharers.append(share)
        self._code_wanted = self._code_wanted or code
        if not self._under_way:
            self._begin()
        return await share

    def _begin(self) -> None:
        """Reload once for all waiting requests, then once for those that arrived meanwhile."""
        sharers, self._sharers, self._under_way = self._sharers, [], True
        code, self._code_wanted = self._code_wanted, False
        going = Deferred.fromCoroutine(self._reload(code))
        going.addBoth(self._done, sharers)

    def _done(self, result: View | Failure, sharers: list[Deferred[View]]) -> None:
        self._under_way = False
        if self._sharers:
            self._begin()
        for share in sharers:
            share.callback(result)

    async def _reload(self, code: bool) -> View:
        self._again_at = None
        try:
            self._known = self._seen = await self._signature()
            changes = await self._put_in_force(_not_empty(await self._read()))
        except ReactorHubError as error:
            mistakes = error.mistakes if isinstance(error, ConfigError) else (error,)
            if isinstance(error, LedgerError):  # the file is correct, so nobody will edit it
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
            self.log.warn(
                "{keys}: read at the start only; restart the hub to put the change in force", keys=keys
            )
        return {**changes, "projects": await self._load_code()} if code else changes

    async def reload_quietly(self, code: bool = False) -> None:
        """Reload. Errors are in the log, the status and the events, and are not raised."""
        try:
            await self.reload(code)
        except ReactorHubError:
            return

    def _broken(self, failure: Failure) -> None:
        self.log.failure("the hub could not check the schedule file; it will try again", failure)

    async def _look(self) -> None:
        now = await self._signature()
        settled, self._seen = now == self._seen, now
        due_again = self._again_at is not None and self._clock.seconds() >= self._again_at
        if settled and (now != self._known or due_again):
            await self.reload_quietly()


def _not_empty(config: HubConfig) -> HubConfig:
    """Return the config, unless the file is empty: an editor may empty a file just before it writes it.

    :raises ConfigError: if the file is empty.
    """
    if config.says_nothing:
        why = "the file is empty; to go on without schedules, write `schedules: {}`"
        raise ConfigError([config.mistake((), why)])
    return config
