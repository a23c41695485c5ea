"""A hub on doubles that reads the inbox of a real Redis, and can be killed between any two steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from reactorhub.engine.scripted import MemoryEngine
from reactorhub.hub.inbox import HubInbox, HubLimits
from reactorhub.redis.inbox.keys import InboxKeys
from reactorhub.redis.inbox.reader import RedisReader
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.support.deferreds import done
from tests.support.hubs import HubHarness, config

PREFIX = "t:"


class Killed(BaseException):
    """The process ends here: nothing after this happens."""


class Doom:
    """Kills the process at step ``at``, or stops it there for a while.

    An odd step is before a call of Redis or a write to the ledger, an even one after it.
    """

    def __init__(self, at: int | None, *, pauses: bool = False) -> None:
        self.steps = 0
        self.pauses = pauses
        self.paused: Deferred[None] = Deferred()
        self._at = at
        self._go_on: Deferred[None] = Deferred()

    @property
    def over(self) -> bool:
        """Whether the process has been killed or stopped."""
        return self._at is not None and self.steps >= self._at

    def go_on(self) -> None:
        """Let a stopped process go on, for good."""
        self._at = None
        self._go_on.callback(None)

    def step(self) -> bool:
        """Go on, or die. Return whether the process stops here."""
        if self.over and not self.pauses:
            raise Killed
        self.steps += 1
        if self.over and not self.pauses:
            raise Killed
        return self.pauses and self.steps == self._at

    async def around(self, call: Callable[[], Any]) -> Any:
        """Make a call, with a step before it and one after it."""
        await self._pass()
        result = await call()
        await self._pass()
        return result

    async def _pass(self) -> None:
        if self.step():
            self.paused.callback(None)
            await self._go_on


class DoomedClient:
    """A client of Redis whose process may die before or after any call."""

    def __init__(self, client: RedisClient, doom: Doom) -> None:
        self._client = client
        self._doom = doom

    async def run(self, *call: Any) -> Any:
        """See RedisClient.run."""
        return await self._doom.around(lambda: self._client.run(*call))

    async def execute(self, *command: Any) -> Any:
        """See RedisClient.execute."""
        return await self._doom.around(lambda: self._client.execute(*command))


class DoomedLedger:
    """A ledger whose process may die before or after any write."""

    def __init__(self, ledger: MemoryLedger, doom: Doom) -> None:
        self._ledger = ledger
        self._doom = doom

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)
        return self._doomed(method) if name in {"add_keyed_runs", "release_runs"} else method

    def _doomed(self, method: Callable[..., Deferred[Any]]) -> Callable[..., Deferred[Any]]:
        def call(*args: Any) -> Deferred[Any]:
            if self._doom.pauses:
                return Deferred.fromCoroutine(self._doom.around(lambda: method(*args)))
            self._doom.step()  # dies within the call: whoever made it does not go on
            result = method(*args)
            self._doom.step()
            return result

        return call


@dataclass
class InboxHub:
    """One life of a hub: its ledger outlives it, and so does Redis."""

    client: RedisClient
    name: str = "one"
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    doom: Doom = field(default_factory=lambda: Doom(None))
    folder_id: str = ""
    spiders: dict[str, list[str]] = field(default_factory=lambda: {"shop": ["prices", "report"]})
    text: str = "hub: {projects: {shop: {path: .}}, max_concurrent_runs: 100, queues: {heavy: 2}}"

    def __post_init__(self) -> None:
        self.harness = HubHarness(
            config(self.text),
            ledger=DoomedLedger(self.ledger, self.doom),  # type: ignore[arg-type]
            engine=MemoryEngine(self.spiders),
        )
        done(self.harness.hub.recover())
        done(self.harness.hub.adopt())
        harness = self.harness
        self.owner = HubInbox(harness.hub, harness.dispatcher, harness.engine, harness.now)
        self.keys = InboxKeys(PREFIX, self.name, self.folder_id)
        self.reader = RedisReader(
            DoomedClient(self.client, self.doom),  # type: ignore[arg-type]
            self.keys,
            reactor,
            harness.now,
            limits=HubLimits(harness.hub),
            inbox=self.owner,
            new_id=harness.parts.new_id,
        )

    async def live(self, looks: int = 50) -> None:
        """Look until nothing is left to do at once; let the runs start."""
        while await self.reader.look() and looks:
            looks -= 1
        self.start_runs()

    def start_runs(self) -> None:
        """Let the runs that wait for a slot start."""
        self.harness.advance()

    async def beat(self) -> None:
        """Live, as far as other hubs see."""
        await self.client.execute("HSET", f"{PREFIX}hub:{self.name}", "folder_id", self.folder_id)

    async def vanish(self) -> None:
        """Be gone, as far as other hubs see."""
        await self.client.execute("DEL", f"{PREFIX}hub:{self.name}")

    @property
    def started(self) -> list[str]:
        """What the entries were called whose runs have started in this life, in order."""
        return [crawl.spec.args["n"] for crawl in self.harness.engine.crawls]


def entry(name: object, **more: Any) -> str:
    """An entry whose run is called so."""
    return json.dumps({"spider": "prices", "args": {"n": str(name)}, **more})
