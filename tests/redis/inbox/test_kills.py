"""Each entry becomes exactly one run, in order, wherever the hub is killed, and whoever goes on after it."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import TestCase

from reactorhub.model.run import RunState
from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.storage.ledger import RunFilter
from reactorhub.storage.sqlite.memory import MemoryLedger
from tests.conftest import LONG
from tests.support.deferreds import done
from tests.support.inbox_hub import PREFIX, Doom, InboxHub, Killed, entry
from tests.support.redis_server import OneServer

NAMES = ["1", "2", "3"]
MAX_STEPS = 200  # far more than a hub takes for these entries


def orders(ledger: MemoryLedger) -> list[str]:
    """What the entries are called whose runs the ledger has, in order, without cancelled ones."""
    page = done(ledger.runs(RunFilter(), 100))
    return [run.spec.args["n"] for run in reversed(page.rows) if run.state is not RunState.CANCELLED]


class KillTests(OneServer, TestCase):
    """One server; each life of a hub has doubles of its own."""

    async def setUp(self) -> None:
        """Begin with an empty server and a connection."""
        self.server.ask("FLUSHALL")
        self.client = RedisClient(address_of(self.server.url), reactor)
        self.addCleanup(self.client.stop)
        await self.client.start()

    async def push(self) -> None:
        """Fill the inbox: an entry without an id, two with one id, and one for this hub alone."""
        await self.client.execute("FLUSHALL")
        await self.client.execute("RPUSH", f"{PREFIX}inbox:one", entry("1"))
        await self.client.execute(
            "RPUSH", f"{PREFIX}inbox", entry("2", id="b"), entry("other", id="b"), "{", entry("3")
        )

    async def life(self, ledger: MemoryLedger, kill_at: int | None, name: str = "one") -> InboxHub:
        """One life of a hub, which ends at a step or when nothing is left to do."""
        hub = InboxHub(self.client, name, ledger, Doom(kill_at))
        await hub.beat()
        try:
            await hub.live()
        except Killed:
            hub.start_runs()
        return hub

    async def assert_empty(self) -> None:
        """Nothing is left in Redis but the claims, and the bad entry is a dead letter."""
        kinds = ("inbox", "inbox:one", "inbox:taken:one/", "inbox:taken:two/")
        left = [await self.client.execute("EXISTS", PREFIX + kind) for kind in kinds]
        self.assertEqual((left, await self.client.execute("XLEN", f"{PREFIX}inbox:dead")), ([0] * 4, 1))

    async def test_killed_anywhere_and_started_again(self) -> None:
        """The next life of the hub goes on with what the first has left, wherever it was killed."""
        for kill_at in range(1, MAX_STEPS):
            await self.push()
            ledger = MemoryLedger()
            first = await self.life(ledger, kill_at)
            second = await self.life(ledger, None)
            self.assertEqual(orders(ledger), NAMES, kill_at)
            self.assertEqual(first.started + second.started, NAMES, kill_at)
            await self.assert_empty()
            if not first.doom.over:
                return
        self.fail("the hub never came to the end of its work")

    async def test_killed_twice(self) -> None:
        """A hub that is killed while it goes on after a kill does not start a run twice either."""
        for first_kill in range(1, MAX_STEPS, 1 if LONG else 4):
            for second_kill in range(1, 14, 1 if LONG else 3):
                await self.push()
                ledger = MemoryLedger()
                lives = [
                    await self.life(ledger, first_kill),
                    await self.life(ledger, second_kill),
                    await self.life(ledger, None),
                ]
                self.assertEqual([name for life in lives for name in life.started], NAMES)
                await self.assert_empty()
            if not lives[0].doom.over:
                return
        self.fail("the hub never came to the end of its work")

    async def test_killed_anywhere_and_taken_over(self) -> None:
        """Another hub takes over what is not confirmed; the first one, back again, starts none of it."""
        for kill_at in range(1, MAX_STEPS):
            await self.push()
            ledgers = MemoryLedger(), MemoryLedger()
            first = await self.life(ledgers[0], kill_at)
            await first.vanish()
            other = await self.life(ledgers[1], None, "two")
            again = await self.life(ledgers[0], None)
            started = [*first.started, *other.started, *again.started]
            self.assertEqual(sorted(started), NAMES, kill_at)
            self.assertEqual(sorted(orders(ledgers[0]) + orders(ledgers[1])), NAMES, kill_at)
            await self.assert_empty()
            if not first.doom.over:
                return
        self.fail("the hub never came to the end of its work")

    async def test_a_slow_hub_is_taken_over(self) -> None:
        """A hub that is stopped until others believe it gone loses what it has not confirmed, and no more."""
        for stopped_at in range(1, MAX_STEPS):
            await self.push()
            slow = InboxHub(self.client, "one", doom=Doom(stopped_at, pauses=True))
            await slow.beat()
            living = Deferred.fromCoroutine(slow.live())
            await DeferredList([living, slow.doom.paused], fireOnOneCallback=True)
            if not slow.doom.over:
                return
            await slow.vanish()
            other = await self.life(MemoryLedger(), None, "two")
            slow.doom.go_on()
            await living
            self.assertEqual(sorted([*slow.started, *other.started]), NAMES, stopped_at)
            self.assertEqual(sorted(orders(slow.ledger) + orders(other.ledger)), NAMES, stopped_at)
            await self.assert_empty()
        self.fail("the hub never came to the end of its work")
