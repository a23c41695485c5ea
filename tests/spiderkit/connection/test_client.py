"""The client's rules, on a clock that the test moves and with connections that the test answers."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reactorhub.spiderkit.connection.address import RedisAddress
from reactorhub.spiderkit.connection.client import MAX_OUTSTANDING, ClientState, RedisClient
from reactorhub.spiderkit.connection.commands import Script
from reactorhub.spiderkit.connection.delays import MAX_LOGIN_DELAY, backoff
from reactorhub.spiderkit.connection.errors import LoginRefused, RedisRefused, RedisUnavailable
from reactorhub.spiderkit.connection.gathering import GATHER

WHO: ContextVar[str] = ContextVar("who", default="nobody")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_backoff() -> None:
    """Pauses between attempts double from 0.2 s up to 3 s."""
    assert [backoff(failures) for failures in (1, 2, 3, 4, 5, 6, 1000)] == [0.2, 0.4, 0.8, 1.6, 3.0, 3.0, 3.0]


class FakeLink:
    """A connection that answers what the test says."""

    def __init__(self) -> None:
        self.lost = False
        self.gone: Deferred[str] = Deferred()
        self.asked: list[tuple[Any, ...]] = []
        self.times: list[float] = []
        self.answers: list[Deferred[list[Any]]] = []

    async def ask(self, commands: Sequence[tuple[Any, ...]], within: float) -> list[Any]:
        """Note the commands, and wait for the test's answer."""
        self.asked.extend(commands)
        self.times.append(within)
        answer: Deferred[list[Any]] = Deferred()
        self.answers.append(answer)
        return await answer

    def abort(self, why: str) -> None:
        """Lose the connection; calls under way fail."""
        if not self.lost:
            self.lost = True
            for answer in self.answers:
                if not answer.called:
                    answer.errback(RedisUnavailable(why))
            self.gone.callback(why)


class ClientTests(SynchronousTestCase):
    """One client, whose attempts to connect end as the test says."""

    def setUp(self) -> None:
        """Make a client that has not started."""
        self.clock = Clock()
        self.attempts: list[Deferred[FakeLink]] = []
        self.states: list[str] = []
        self.client = RedisClient(
            RedisAddress(), self.clock, now=lambda: NOON, connect=lambda *_: self.attempt()
        )
        self.client.watch(lambda state: self.states.append(state.state))

    async def attempt(self) -> FakeLink:
        """Wait for the test to end this attempt to connect."""
        self.attempts.append(Deferred())
        return await self.attempts[-1]

    def connected(self) -> FakeLink:
        """Start the client, and let its attempt succeed."""
        link = FakeLink()
        self.client.start()
        self.attempts[-1].callback(link)
        return link

    def call(self, *command: Any) -> Deferred[Any]:
        """Begin a call."""
        return Deferred.fromCoroutine(self.client.execute(*command))

    def delay(self) -> float:
        """Return how long the client waits for its next attempt."""
        [call] = self.clock.getDelayedCalls()
        return round(call.getTime() - self.clock.seconds(), 6)

    def test_off_at_first(self) -> None:
        """A client that was not started is off, and refuses calls at once."""
        self.assertEqual(self.client.state, ClientState(since=NOON))
        self.failureResultOf(self.call("PING"), RedisUnavailable)

    def test_start_fires_after_the_first_attempt(self) -> None:
        """A failed attempt ends the start, too; the state says why."""
        started = self.client.start()
        self.assertNoResult(started)
        self.attempts[0].errback(OSError("no route"))
        self.successResultOf(started)
        self.assertEqual(self.client.state, ClientState(state="reconnecting", since=NOON, reason="no route"))
        error = self.failureResultOf(self.call("PING"), RedisUnavailable)
        self.assertIn("no route", str(error.value))

    def test_tries_again_after_longer_and_longer_delays(self) -> None:
        """Each attempt that fails doubles the delay, up to three seconds."""
        self.client.start()
        times = []
        for _ in range(8):
            self.attempts[-1].errback(OSError("no route"))
            times.append(self.delay())
            self.clock.advance(times[-1])
        self.assertEqual(times, [0.2, 0.4, 0.8, 1.6, 3.0, 3.0, 3.0, 3.0])

    def test_a_refused_login_is_tried_again_slowly(self) -> None:
        """After a refused login the delay grows to half a minute, and the state says so."""
        self.client.start()
        for _ in range(12):
            self.attempts[-1].errback(LoginRefused("WRONGPASS invalid"))
            self.assertEqual(self.client.state.state, "auth_failed")
            self.assertEqual(self.client.state.reason, "WRONGPASS invalid")
            delay = self.delay()
            self.clock.advance(delay)
        self.assertEqual(delay, MAX_LOGIN_DELAY)

    def test_a_bug_while_connecting_is_logged_and_tried_again(self) -> None:
        """An error that nobody expects is in the log once, and ends nothing."""
        self.client.start()
        self.attempts[-1].errback(KeyError("bug"))
        self.clock.advance(0.2)
        self.attempts[-1].errback(KeyError("bug"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.clock.advance(0.4)
        self.attempts[-1].callback(FakeLink())
        self.assertEqual(self.client.state.state, "connected")

    def test_a_call(self) -> None:
        """The reply is the result, and an error reply is raised."""
        link = self.connected()
        call, refused = self.call("GET", "a"), self.call("INCR", "a")
        self.assertEqual(link.asked, [("GET", "a"), ("INCR", "a")])
        link.answers[0].callback([b"1"])
        self.assertEqual(self.successResultOf(call), b"1")
        link.answers[1].callback([ValueError("WRONGTYPE no number")])
        error = self.failureResultOf(refused, RedisRefused)
        self.assertEqual(str(error.value), "WRONGTYPE no number")

    def test_a_loading_server_is_unavailable(self) -> None:
        """What a server answers while it loads its data is not a refusal."""
        link = self.connected()
        call = self.call("GET", "a")
        link.answers[0].callback([ValueError("LOADING Redis is loading the dataset in memory")])
        self.failureResultOf(call, RedisUnavailable)

    def test_a_login_that_is_no_longer_good(self) -> None:
        """A server that wants a login during the connection gets a new handshake."""
        link = self.connected()
        call = self.call("GET", "a")
        link.answers[0].callback([ValueError("NOAUTH Authentication required.")])
        self.failureResultOf(call, RedisUnavailable)
        self.assertTrue(link.lost)
        self.clock.advance(0.2)
        self.assertEqual(len(self.attempts), 2)

    def test_a_lost_connection(self) -> None:
        """Calls under way fail, later ones fail at once, and the next connection is used as the first was."""
        link = self.connected()
        call = self.call("GET", "a")
        link.abort("closed by peer")
        self.failureResultOf(call, RedisUnavailable)
        self.failureResultOf(self.call("GET", "a"), RedisUnavailable)
        waiting = self.client.when_connected()
        self.assertNoResult(waiting)
        self.clock.advance(0.2)
        self.attempts[-1].callback(FakeLink())
        self.successResultOf(waiting)
        self.assertEqual(self.states, ["reconnecting", "connected", "reconnecting", "connected"])

    def test_a_server_that_drops_each_connection(self) -> None:
        """Connections that do not last lengthen the delay; one that lasted shortens it again."""
        self.client.start()
        for lasts, delay in ((0.0, 0.2), (0.0, 0.4), (1.0, 0.8), (10.0, 0.2)):
            link = FakeLink()
            self.attempts[-1].callback(link)
            self.clock.advance(lasts)
            link.abort("closed by peer")
            self.assertEqual(self.delay(), delay)
            self.clock.advance(delay)

    def test_too_many_calls(self) -> None:
        """Calls beyond a thousand are refused, until earlier ones have ended."""
        link = self.connected()
        calls = [self.call("GET", "a") for _ in range(MAX_OUTSTANDING)]
        error = self.failureResultOf(self.call("GET", "a"), RedisUnavailable)
        self.assertIn("1,000 calls", str(error.value))
        self.assertEqual(len(link.asked), MAX_OUTSTANDING)
        link.answers[0].callback([None])
        self.successResultOf(calls[0])
        last = self.call("GET", "b")
        link.abort("end of test")
        for call in [*calls[1:], last]:
            self.failureResultOf(call, RedisUnavailable)

    def test_a_script(self) -> None:
        """A script is run by its name; its text is sent only to a server that does not know it."""
        link, script = self.connected(), Script("return ARGV[1]")
        call = Deferred.fromCoroutine(self.client.run(script, ["k"], ["v"]))
        link.answers[0].callback([ValueError("NOSCRIPT No matching script.")])
        link.answers[1].callback([b"v"])
        self.assertEqual(self.successResultOf(call), b"v")
        self.assertEqual(
            link.asked,
            [("EVALSHA", script.sha, 1, "k", "v"), ("EVAL", "return ARGV[1]", 1, "k", "v")],
        )

    def test_ask_returns_errors(self) -> None:
        """Of many commands each has its reply; one error does not hide the others."""
        link, script = self.connected(), Script("return 1")
        call = Deferred.fromCoroutine(self.client.ask([("A",), script.call([]), ("B",)]))
        link.answers[0].callback([b"a", ValueError("NOSCRIPT"), ValueError("ERR b")])
        link.answers[1].callback([1])
        first, second, third = self.successResultOf(call)
        self.assertEqual((first, second), (b"a", 1))
        self.assertIsInstance(third, RedisRefused)

    def test_soon(self) -> None:
        """Commands of callers in no hurry go out together, and each has its own reply or error."""
        link = self.connected()
        first, second, third = (self.client.soon("HSET", "h", str(n), "x") for n in range(3))
        self.assertEqual(link.asked, [])
        self.clock.advance(GATHER)
        self.assertEqual([words[2] for words in link.asked], [b"0", b"1", b"2"])
        link.answers[0].callback([1, ValueError("OOM full"), 0])
        self.assertEqual((self.successResultOf(first), self.successResultOf(third)), (1, 0))
        self.failureResultOf(second, RedisRefused)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_soon_fails_as_other_calls_do(self) -> None:
        """Without a connection at once, with a lost one when it is lost, and with too many; none stays."""
        self.failureResultOf(self.client.soon("PING"), RedisUnavailable)
        link = self.connected()
        with self.assertRaises(UnicodeEncodeError):
            self.client.soon("ECHO", "\ud800")
        calls = [self.client.soon("PING") for _ in range(MAX_OUTSTANDING)]
        self.failureResultOf(self.client.soon("PING"), RedisUnavailable)
        self.clock.advance(GATHER)
        link.abort("closed by peer")
        for call in calls:
            self.failureResultOf(call, RedisUnavailable)
        self.clock.advance(0.2)
        self.attempts[-1].callback(FakeLink())
        late, cancelled = self.client.soon("PING"), self.client.soon("PING")
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        stopped = self.client.stop()
        self.failureResultOf(self.client.soon("PING"), RedisUnavailable)
        self.client._link.abort("closed by peer")  # type: ignore[union-attr]
        self.successResultOf(stopped)
        self.failureResultOf(late, RedisUnavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_setup(self) -> None:
        """The commands of the setup go to each new connection."""
        seen: list[Any] = []

        async def connect(address: Any, clock: Any, deadline: float, setup: Any) -> FakeLink:
            seen.append((str(address), deadline, setup))
            return FakeLink()

        script = Script("return 1")
        setup = [("CLIENT", "SETNAME", "x"), script.call([])]
        client = RedisClient(RedisAddress(db=3), self.clock, deadline=5, setup=setup, connect=connect)
        client.start()
        self.successResultOf(client.stop())
        words = [("CLIENT", "SETNAME", "x"), ("EVAL", "return 1", 0)]
        self.assertEqual(seen, [("redis://127.0.0.1:6379/3", 5, words)])

    def test_started_once(self) -> None:
        """A client that was started or stopped cannot be started again."""
        self.connected()
        self.assertRaises(RuntimeError, self.client.start)
        self.successResultOf(self.client.stop())
        self.assertRaises(RuntimeError, self.client.start)

    def test_a_watcher_that_fails(self) -> None:
        """Its error is in the log, the other watchers are called, and the client goes on."""
        self.client.watch(lambda state: {}[state])
        self.connected()
        self.assertEqual(self.client.state.state, "connected")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    def test_whose_code_runs(self) -> None:
        """What follows a reply, or the connection, runs in the context of who asked."""
        ran: list[str] = []
        note = lambda _: ran.append(WHO.get())  # noqa: E731 - a callback
        link = self.connected()
        for who in ("one", "two"):
            copy_context().run(self.ask_as, who, note)
        self.clock.advance(GATHER)
        link.answers[0].callback([1, 2])
        link.abort("closed by peer")
        waits: Any = self.client.when_connected
        copy_context().run(lambda: (WHO.set("three"), waits().addCallback(note)))
        self.clock.advance(0.2)
        self.attempts[-1].callback(FakeLink())
        self.assertEqual(ran, ["one", "two", "three"])

    def ask_as(self, who: str, note: Any) -> None:
        """Ask in the name of somebody."""
        WHO.set(who)
        self.client.soon("PING").addCallback(note)

    def test_stop(self) -> None:
        """Stopping fails calls and those who wait; nothing is tried any more."""
        link = self.connected()
        call = self.call("GET", "a")
        self.successResultOf(self.client.stop())
        self.successResultOf(self.client.stop())
        self.failureResultOf(call, RedisUnavailable)
        self.assertTrue(link.lost)
        self.assertEqual(self.client.state.state, "off")
        self.failureResultOf(self.client.when_connected(), RedisUnavailable)
        self.failureResultOf(self.call("GET", "a"), RedisUnavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_connecting(self) -> None:
        """Stopping cancels an attempt, and ends a start that waits for it."""
        started, waiting = self.client.start(), self.client.when_connected()
        self.successResultOf(self.client.stop())
        self.assertTrue(self.attempts[0].called)
        self.failureResultOf(waiting, RedisUnavailable)
        self.successResultOf(started)
        self.assertEqual(self.client.state.state, "off")

    def test_stop_between_attempts(self) -> None:
        """Stopping ends a pause."""
        self.client.start()
        self.attempts[-1].errback(OSError("no route"))
        self.successResultOf(self.client.stop())
        self.assertEqual((self.clock.getDelayedCalls(), len(self.attempts)), ([], 1))

    def test_who_waits_may_give_up(self) -> None:
        """A cancelled wait for the connection is forgotten."""
        self.client.start()
        waiting = self.client.when_connected()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.attempts[-1].callback(FakeLink())
        self.assertEqual(self.client.state.state, "connected")

    def test_client_that_nobody_keeps(self) -> None:
        """It goes without a word, though it was never stopped."""
        self.connected()
        del self.client, self.attempts
        gc.collect()
        assert self.flushLoggedErrors() == []
