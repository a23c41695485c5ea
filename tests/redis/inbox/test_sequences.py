"""Whatever happens to hubs on one inbox, in whatever order: each order has one run, which starts once."""

from __future__ import annotations

import random
from collections import Counter

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import TestCase

from reactorhub.redis.inbox.owner import NotNow
from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.conftest import LONG
from tests.support.inbox_hub import PREFIX, Doom, InboxHub, Killed, entry
from tests.support.redis_server import OneServer

SEQUENCES = 400 if LONG else 25
STEPS = 14


class World:
    """Two hubs, each with a ledger that outlives it, and what was pushed."""

    def __init__(self, client: RedisClient, chance: random.Random) -> None:
        self.client = client
        self.chance = chance
        self.ledgers = {name: MemoryLedger() for name in ("one", "two")}
        self.hubs: dict[str, InboxHub] = {}
        self.stopped: list[tuple[InboxHub, Deferred[None]]] = []
        self.lives: list[InboxHub] = []
        self.pushed: dict[str, str] = {}

    async def begin(self, name: str, doom: Doom | None = None) -> InboxHub:
        """Start a hub, or go on with the one that runs."""
        hub = self.hubs.get(name)
        if hub is None or doom is not None:
            hub = InboxHub(self.client, name, self.ledgers[name], doom or Doom(None))
            self.hubs[name] = hub
            self.lives.append(hub)
        await hub.beat()
        return hub

    async def push(self) -> None:
        """Push an entry: with an id of its own or of another one, or without; to all hubs or to one."""
        name = str(len(self.pushed))
        entry_id = self.chance.choice([None, None, "a", "b", name])
        self.pushed[name] = name if entry_id is None else f"id {entry_id}"
        key = self.chance.choice(["inbox", "inbox", "inbox:one", "inbox:two"])
        more = {} if entry_id is None else {"id": entry_id}
        await self.client.execute("RPUSH", PREFIX + key, entry(name, **more))

    async def live(self, name: str) -> None:
        """Let a hub look until there is nothing to do at once."""
        hub = await self.begin(name)
        hub.reader._looked_for_gone = float("-inf")
        try:
            await hub.live()
        except NotNow:
            hub.start_runs()

    async def kill(self, name: str) -> None:
        """Start a hub that is killed at some step of its first look."""
        hub = await self.begin(name, Doom(self.chance.randint(1, 24)))
        try:
            await hub.live()
        except (Killed, NotNow):
            hub.start_runs()
        self.hubs.pop(name)
        await self.maybe_vanish(hub)

    async def maybe_vanish(self, hub: InboxHub) -> None:
        """Let the heartbeat of a hub be gone, or not yet."""
        if self.chance.random() < 0.7:
            await hub.vanish()

    async def slow(self, name: str) -> None:
        """Let a new hub of another name stop for a while in the middle of a look; it goes on in the end."""
        if self.stopped:
            return
        self.ledgers["slow"] = MemoryLedger()
        hub = await self.begin("slow", Doom(self.chance.randint(1, 24), pauses=True))
        living = Deferred.fromCoroutine(hub.live())
        await DeferredList([living, hub.doom.paused], fireOnOneCallback=True)
        if hub.doom.over:
            self.stopped.append((hub, living))
            await hub.vanish()
        else:
            hub.doom.go_on()

    async def fill(self, name: str) -> None:
        """Let the queue of a hub be full, or have room again."""
        hub = await self.begin(name)
        hub.harness.dispatcher.limit_waiting(self.chance.choice([0, 1, 100]))

    async def end(self) -> None:
        """Let everybody go on until nothing is left to do."""
        for hub, living in self.stopped:
            hub.doom.go_on()
            await living
            await hub.beat()
        for _ in range(3):
            for name in self.ledgers:
                hub = await self.begin(name)
                hub.harness.dispatcher.limit_waiting(1000)
                await self.live(name)

    @property
    def started(self) -> Counter[str]:
        """How many runs have started of each order: an id, or an entry without one."""
        return Counter(self.pushed[name] for life in self.lives for name in life.started)


class SequenceTests(OneServer, TestCase):
    """One server for all sequences."""

    timeout = 600 if LONG else 60

    async def test_any_sequence(self) -> None:
        """Pushes, kills, stops, take-overs and full queues, at random; the seed is in the message."""
        client = RedisClient(address_of(self.server.url), reactor)
        self.addCleanup(client.stop)
        await client.start()
        for seed in range(SEQUENCES):
            await client.execute("FLUSHALL")
            chance = random.Random(seed)
            world = World(client, chance)
            for _ in range(STEPS):
                step = chance.choice([world.live, world.kill, world.slow, world.fill, None, None, None])
                await (world.push() if step is None else step(chance.choice(["one", "two"])))
            await world.end()
            self.assertEqual(world.started, Counter(set(world.pushed.values())), f"seed {seed}")
            left = [
                await client.execute("EXISTS", PREFIX + key) for key in ("inbox", "inbox:one", "inbox:two")
            ]
            self.assertEqual((left, await client.execute("EXISTS", f"{PREFIX}inbox:dead")), ([0, 0, 0], 0))
