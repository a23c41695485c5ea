"""A lent client: what its borrowers can do, and what they cannot."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reactorhub.spiderkit.connection.address import RedisAddress
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.connection.commands import Script
from reactorhub.spiderkit.connection.errors import RedisUnavailable
from reactorhub.spiderkit.connection.gathering import GATHER
from reactorhub.spiderkit.connection.lent import MAX_LENT, MAX_SIZE, LentClient
from tests.spiderkit.connection.test_client import FakeLink

HOLD_UP = (
    "BLPOP q 0,blmove a b LEFT RIGHT 0,XREAD BLOCK 0 STREAMS s $,xreadgroup GROUP g c block 0 STREAMS s >"
)
CHANGE = "SELECT 3,multi,Subscribe news,CLIENT PAUSE 1000,AUTH x,QUIT"


class LentClientTests(SynchronousTestCase):
    """A borrower of a connected client."""

    def setUp(self) -> None:
        """Connect a client, and lend it."""
        self.link = link = FakeLink()

        async def connect(*_: Any) -> FakeLink:
            return link

        self.clock = Clock()
        self.client = RedisClient(RedisAddress(db=2), self.clock, connect=connect)
        self.client.start()
        self.lent = LentClient(self.client)

    def test_calls(self) -> None:
        """Every kind of call reaches the server, and its reply the borrower."""
        script = Script("return 1")
        calls = [
            self.lent.execute("XREAD", "STREAMS", "block", "0"),
            self.lent.run(script, ["k"]),
            self.lent.ask([("PING",), script.call([])]),
        ]
        waiting = [Deferred.fromCoroutine(call) for call in calls]
        for answer, replies in zip(self.link.answers, ([b"x"], [1], [b"y", 2]), strict=True):
            answer.callback(replies)
        self.assertEqual([self.successResultOf(each) for each in waiting], [b"x", 1, [b"y", 2]])

    def test_soon(self) -> None:
        """A call that is in no hurry is made by the client, in its own time."""
        call = self.lent.soon("INCR", "n")
        self.clock.advance(GATHER)
        self.link.answers[0].callback([7])
        self.assertEqual(self.successResultOf(call), 7)

    def test_the_state_is_the_client_s(self) -> None:
        """Address and state are those of the client."""
        self.successResultOf(self.lent.when_connected())
        self.assertEqual((self.lent.address.db, self.lent.state.state), (2, "connected"))
        self.link.abort("closed by peer")
        self.assertEqual(self.lent.state.reason, "closed by peer")
        self.successResultOf(self.client.stop())

    def test_commands_that_harm_others(self) -> None:
        """What holds up other calls, or changes the connection, is refused with the way out."""
        for commands, why in ((HOLD_UP, "hold up"), (CHANGE, "changes the connection")):
            for command in commands.split(","):
                words = tuple(word.encode() for word in command.split())
                with self.assertRaises(ValueError):
                    self.lent.soon(*words)
                for call in (self.lent.execute(*words), self.lent.ask([("PING",), words])):
                    error = self.failureResultOf(Deferred.fromCoroutine(call), ValueError)
                    self.assertRegex(str(error.value), f"{why}.* RedisClient of your own")
        self.assertEqual(self.link.asked, [])

    def test_a_command_that_is_too_long(self) -> None:
        """A value of megabytes is refused: all others would wait while it is sent."""
        with self.assertRaisesRegex(ValueError, "8,000,000 bytes"):
            self.lent.soon("SET", "k", b"x" * MAX_SIZE)

    def test_nothing_is_not_a_command(self) -> None:
        """A command without a name is refused: Redis would never answer it."""
        self.assertRaises(ValueError, self.lent.soon)
        self.link.abort("closed by peer")

    def test_how_long_a_call_may_take(self) -> None:
        """A borrower can neither give up before the client would, nor wait for minutes."""
        for within in (None, 0.001, 5, 60):
            call = Deferred.fromCoroutine(self.lent.execute("PING", within=within))
            self.link.answers[-1].callback([b"PONG"])
            self.successResultOf(call)
        self.assertEqual(self.link.times, [2.0, 2.0, 5, 10.0])

    def test_too_many_calls(self) -> None:
        """One borrower has a hundred calls under way at most; another one has its own hundred."""
        calls = [Deferred.fromCoroutine(self.lent.execute("PING")) for _ in range(MAX_LENT)]
        refused = Deferred.fromCoroutine(self.lent.execute("PING"))
        self.failureResultOf(refused, RedisUnavailable)
        calls.append(Deferred.fromCoroutine(LentClient(self.client).execute("PING")))
        for answer in self.link.answers:
            answer.callback([b"PONG"])
        self.assertEqual([self.successResultOf(each) for each in calls], [b"PONG"] * (MAX_LENT + 1))
        after = Deferred.fromCoroutine(self.lent.execute("PING"))
        self.assertNoResult(after)
        after.addErrback(lambda _: None)
