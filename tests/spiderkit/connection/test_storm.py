"""Many callers, and a server that is killed, frozen, paused and cut off at random."""

from __future__ import annotations

from collections import Counter
from itertools import count
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from reactorhub.spiderkit.connection.address import address_of
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.connection.commands import Script
from reactorhub.spiderkit.connection.errors import RedisRefused, RedisUnavailable
from tests.conftest import LONG
from tests.support.redis_server import RedisServer

CLOCK: Any = reactor
SECONDS = 60.0 if LONG else 2.0
CALLERS = 60 if LONG else 20
DEADLINE = 0.5
SLACK = 4.0  # seconds that a busy machine may add to the deadline
ECHO = Script("return ARGV[1]")


class StormTests(TestCase):
    """One client, and everything at once."""

    timeout = 120

    async def test_each_call_gets_its_own_reply_or_an_error_in_time(self) -> None:
        """No reply is another call's, no call outlasts the deadline, and nothing is left in the end."""
        self.server = RedisServer(password="pw").start()
        self.addCleanup(self.server.close)
        self.random, self.numbers, self.tally = Random(7), count(), Counter[str]()
        self.until = CLOCK.seconds() + SECONDS
        self.client = RedisClient(address_of(self.server.url), CLOCK, deadline=DEADLINE)
        await self.client.start()
        callers = [Deferred.fromCoroutine(self.call()) for _ in range(CALLERS)]
        await gatherResults([*callers, Deferred.fromCoroutine(self.rage())], consumeErrors=True)
        self.assertEqual(await self.after_the_storm(), b"x")
        self.assertGreater(min(self.tally[what] for what in ("replied", "unavailable", "cancelled")), 0)
        self.assertEqual(self.client._outstanding, 0)
        await self.client.stop()

    async def after_the_storm(self) -> Any:
        """Return what the server answers as soon as it answers: a pause may outlast the storm."""
        while True:
            await self.client.when_connected()
            try:
                return await self.client.execute("ECHO", "x")
            except RedisUnavailable:
                await deferLater(CLOCK, 0.05)

    async def call(self) -> None:
        """Make one call after the other."""
        kinds = (self.execute, self.run_script, self.many, self.soon, self.cancelled, self.big)
        while CLOCK.seconds() < self.until:
            text, began = str(next(self.numbers)).encode(), CLOCK.seconds()
            try:
                self.assertEqual(await self.random.choice(kinds)(text), text)
                self.tally["replied"] += 1
            except RedisUnavailable:
                self.tally["unavailable"] += 1
            except CancelledError:
                self.tally["cancelled"] += 1
            self.assertLess(CLOCK.seconds() - began, DEADLINE + SLACK)
            await deferLater(CLOCK, self.random.random() * 0.02)

    async def execute(self, text: bytes) -> Any:
        """Send a command."""
        return await self.client.execute("ECHO", text)

    async def run_script(self, text: bytes) -> Any:
        """Run a script, which the server may have forgotten."""
        return await self.client.run(ECHO, [], [text])

    async def many(self, text: bytes) -> Any:
        """Send several commands, of which one is always refused."""
        first, second, bad = await self.client.ask([("ECHO", text), ECHO.call([], [text]), ("NOSUCH",)])
        self.assertIsInstance(bad, RedisRefused | RedisUnavailable)
        self.assertEqual(second if isinstance(first, Exception) else first, text)
        return text

    async def soon(self, text: bytes) -> Any:
        """Send a command together with others."""
        return await self.client.soon("ECHO", text)

    async def cancelled(self, text: bytes) -> Any:
        """Cancel a call, before or after its reply."""
        call = Deferred.fromCoroutine(self.client.execute("ECHO", text))
        CLOCK.callLater(self.random.random() * 0.01, call.cancel)
        return await call

    async def big(self, text: bytes) -> Any:
        """Send a large value."""
        await self.client.execute("SET", b"k" + text, b"x" * self.random.randrange(100_000), "EX", 5)
        return text

    async def rage(self) -> None:
        """Do to the server what may happen to it."""
        while CLOCK.seconds() < self.until:
            await deferLater(CLOCK, self.random.random() * 0.4)
            await self.random.choice((self.restart, self.freeze, self.cut_off, self.forget, self.pause))()

    async def restart(self) -> None:
        """Kill it, and start it again."""
        self.server.kill()
        await deferLater(CLOCK, self.random.random() * 0.3)
        self.server.start()

    async def freeze(self) -> None:
        """Stop its execution for a while."""
        self.server.freeze()
        await deferLater(CLOCK, self.random.random() * 1.2)
        self.server.thaw()

    async def cut_off(self) -> None:
        """Close the client's connection."""
        self.server.ask("CLIENT", "KILL", "TYPE", "normal")

    async def forget(self) -> None:
        """Let it forget its scripts."""
        self.server.ask("SCRIPT", "FLUSH")

    async def pause(self) -> None:
        """Let it answer nobody for a while."""
        self.server.ask("CLIENT", "PAUSE", self.random.randrange(800), "ALL")
