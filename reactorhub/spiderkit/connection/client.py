"""The client of Redis that reconnects after anything, and whose calls never wait for ever.

While it is not connected, every call fails at once: nothing is queued. A call that gets no answer in time
aborts the connection, because later answers would be late, too. A new one is tried after 0.2 s, then after
longer and longer delays up to 3 s; up to 30 s after a refused login.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from reactorhub.spiderkit.connection.address import RedisAddress
from reactorhub.spiderkit.connection.answer import Answer, answer_of
from reactorhub.spiderkit.connection.commands import (
    Argument,
    Command,
    Script,
    full_words_of,
    is_unknown_script,
    words_of,
)
from reactorhub.spiderkit.connection.delays import MAX_LOGIN_DELAY, MAX_RETRY_DELAY, backoff, utc_now
from reactorhub.spiderkit.connection.errors import LoginRefused, RedisUnavailable, raised
from reactorhub.spiderkit.connection.gathering import Gathering, failed, fire
from reactorhub.spiderkit.connection.opening import Connect, Connection, connect

MAX_OUTSTANDING = 1_000  # calls under way; more are refused, so that a slow server costs bounded memory
LAST_WITHIN = 0.5  # seconds for what was gathered when the client stops
_STOPPED = "the client was stopped"
_EXPECTED = (RedisUnavailable, ConnectError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientState:
    """The state of a client: ``off``, ``connected``, ``reconnecting`` or ``auth_failed``.

    ``since`` is when it began, ``reason`` why the client is not connected.
    """

    state: str = "off"
    since: datetime | None = None
    reason: str = ""


class RedisClient:
    """Talks to one Redis server over one connection, and reconnects whenever it is lost.

    ``clock`` is the reactor. ``deadline`` is how long Redis may take, in seconds, to accept a connection, to
    log the client in, and for each call that names no time of its own. ``setup`` are commands that follow
    each login. Replies are bytes, numbers, None and lists of them; names of commands are as redis-cli takes
    them. A reader that blocks needs a client of its own.

    Coroutines that Twisted runs and tasks of asyncio can await the calls. Whoever calls, the client's own
    work is done in the context (:pep:`567`) in which it was made, and so belongs to its maker.
    """

    _log = Logger()

    def __init__(
        self,
        address: RedisAddress,
        clock: Any,
        *,
        deadline: float = 2.0,
        setup: Sequence[Command] = (),
        now: Callable[[], datetime] = utc_now,
        connect: Connect = connect,
    ) -> None:
        self.address = address
        self.state = ClientState(since=now())
        self._clock = clock
        self.deadline = deadline
        self._setup = [full_words_of(command) for command in setup]
        self._now = now
        self._connect = connect
        self._link: Connection | None = None
        self._running: Deferred[None] = succeed(None)
        self._tried: Answer[None] = Answer()
        self._waiting: dict[Deferred[Any], Context] = {}
        self._home = copy_context()
        self._gathering = Gathering(clock, self._home, self._ask_gathered)
        self._watchers: list[Callable[[ClientState], None]] = []
        self._started = self._stopped = False
        self._outstanding = self._failures = 0

    def start(self) -> Answer[None]:
        """Start to connect. Fires after the first attempt, even if that failed. Never fails.

        :raises RuntimeError: if the client was started or stopped before.
        """
        if self._started or self._stopped:
            raise RuntimeError("a RedisClient is started once; make a new one")
        self._started = True
        self._become("reconnecting")
        self._running = Deferred.fromCoroutine(self._serve())
        return self._tried

    def stop(self) -> Answer[None]:
        """Close the connection for good. Calls under way fail with RedisUnavailable. Never fails.

        What :meth:`soon` has gathered is sent before, which takes half a second at most.
        """
        return answer_of(Deferred.fromCoroutine(self._stop()))

    def reconnect(self, why: str) -> None:
        """Close the connection, if there is one, and make another: this one leads to the wrong server."""
        if self._link is not None:
            self._link.abort(why)

    def watch(self, changed: Callable[[ClientState], None]) -> None:
        """Call ``changed`` with each new state, also if only its reason is new."""
        self._watchers.append(changed)

    def when_connected(self) -> Answer[None]:
        """Return a Deferred that fires as soon as the client is connected.

        It fails with :exc:`RedisUnavailable` if the client is stopped before. It can be cancelled.
        """
        waiting: Answer[None] = Answer(self._waits_no_more)
        self._waiting[waiting] = copy_context()
        if self._link is not None:
            self._tell_waiting(None)
        elif self._stopped:
            self._tell_waiting(RedisUnavailable(self.state.reason))
        return waiting

    async def execute(self, *command: Argument, within: float | None = None) -> Any:
        """Send one command and return the reply.

        :param within: seconds that Redis may take; by default the client's deadline.
        :raises RedisUnavailable: if Redis is not connected, or gives no answer in time.
        :raises RedisRefused: if Redis answers with an error.
        """
        return await self._one(command, within)

    async def run(
        self,
        script: Script,
        keys: Sequence[str | bytes],
        args: Sequence[Argument] = (),
        within: float | None = None,
    ) -> Any:
        """Run a Lua script and return the reply. Raises as :meth:`execute` does."""
        return await self._one(script.call(keys, args), within)

    async def ask(self, commands: Sequence[Command], within: float | None = None) -> list[Any]:
        """Send all commands at once and return the replies; an error with which Redis answered is a reply.

        A script that Redis does not know is sent again, after the other commands.

        :raises RedisUnavailable: if Redis is not connected, or does not answer all in time.
        """
        asking = self._home.copy().run(Deferred.fromCoroutine, self._ask(commands, within))
        return await answer_of(asking)

    async def _ask(self, commands: Sequence[Command], within: float | None) -> list[Any]:
        link = self._usable_link()
        seconds = self.deadline if within is None else within
        self._outstanding += 1
        try:
            replies = await link.ask([words_of(command) for command in commands], seconds)
            unknown = [at for at, reply in enumerate(replies) if is_unknown_script(commands[at], reply)]
            if unknown:
                again = [full_words_of(commands[at]) for at in unknown]
                known = await link.ask(again, seconds)
                for at, reply in zip(unknown, known, strict=True):
                    replies[at] = reply
        finally:
            self._outstanding -= 1
        return [self._checked(link, reply) for reply in replies]

    def soon(self, *command: Argument) -> Answer[Any]:
        """Send one command within 0.1 s, together with others, and return the reply as a Deferred.

        Many callers of this cost a small part of what as many calls of :meth:`execute` cost. The Deferred
        fails as :meth:`execute` does.

        :raises UnicodeEncodeError: if a word cannot be written as UTF-8.
        """
        if self._link is None or self._stopped:
            return failed(self._refusal())
        return self._gathering.add(command)

    async def _ask_gathered(self, commands: Sequence[Command]) -> list[Any]:
        return await self._ask(commands, LAST_WITHIN if self._stopped else None)

    async def _one(self, command: Command, within: float | None) -> Any:
        [reply] = await self.ask([command], within)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _usable_link(self) -> Connection:
        if self._link is None or self._outstanding >= MAX_OUTSTANDING:
            raise self._refusal()
        return self._link

    def _refusal(self) -> RedisUnavailable:
        if self._link is not None:
            return RedisUnavailable(f"{MAX_OUTSTANDING:,} calls wait for Redis already")
        return RedisUnavailable(": ".join(filter(None, ("Redis is not connected", self.state.reason))))

    def _checked(self, link: Connection, reply: Any) -> Any:
        checked = raised(reply) if isinstance(reply, Exception) else reply
        if isinstance(checked, LoginRefused):
            link.abort(str(checked))  # the next handshake finds out whether the login is still good
        return checked

    async def _serve(self) -> None:
        while not self._stopped:
            try:
                link = await self._connect(self.address, self._clock, self.deadline, self._setup)
                await self._use(link)
            except Exception as error:  # noqa: BLE001 - whatever it was, the client tries again
                self._note_failure(error)
            with suppress(CancelledError):
                await self._pause()

    async def _use(self, link: Connection) -> None:
        began = self._clock.seconds()
        self._link = link
        self._become("connected")
        self._attempt_ended()
        try:
            why = await link.gone
        except CancelledError:
            link.abort(_STOPPED)
            raise
        finally:
            self._link = None  # nothing else: freeing a client that was never stopped runs this, too
        if self._clock.seconds() - began > MAX_RETRY_DELAY:
            self._failures = 0  # a server that drops each new connection is not tried five times a second
        raise RedisUnavailable(why)

    async def _pause(self) -> None:
        if not self._stopped:
            longest = MAX_LOGIN_DELAY if self.state.state == "auth_failed" else MAX_RETRY_DELAY
            await deferLater(self._clock, backoff(self._failures, longest))

    async def _stop(self) -> None:
        self._stopped = True
        await self._gathering.send_now()
        if self._link is None:
            self._running.cancel()
        else:
            self._link.abort(_STOPPED)
        await self._running
        self._become("off", _STOPPED)
        self._attempt_ended()

    def _note_failure(self, error: Exception) -> None:
        refused = isinstance(error, LoginRefused)
        if refused and self.state.state != "auth_failed":
            self._failures = 0  # the long delays are for a login that is refused again and again
        self._failures += 1
        if self._stopped:
            return
        reason = str(error) or type(error).__name__
        if not isinstance(error, _EXPECTED) and reason != self.state.reason:
            self._log.failure("the Redis client failed because of a bug; it will try again")
        self._become("auth_failed" if refused else "reconnecting", reason)
        self._attempt_ended()

    def _attempt_ended(self) -> None:
        if not self._tried.called:
            self._tried.callback(None)

    def _become(self, state: str, reason: str = "") -> None:
        old = self.state
        since = old.since if state == old.state else self._now()
        self.state = ClientState(state=state, since=since, reason=reason)
        if state in ("connected", "off"):
            self._tell_waiting(None if state == "connected" else RedisUnavailable(reason))
        if self.state != old:
            for watcher in tuple(self._watchers):
                self._tell(watcher)

    def _tell(self, watcher: Callable[[ClientState], None]) -> None:
        try:
            watcher(self.state)
        except Exception:  # noqa: BLE001 - the client must go on
            self._log.failure("a watcher of the Redis client failed")

    def _tell_waiting(self, error: Exception | None) -> None:
        waiting = dict(self._waiting)
        self._waiting.clear()
        for each, context in waiting.items():
            context.run(fire, each, error)

    def _waits_no_more(self, waiting: Deferred[Any]) -> None:
        del self._waiting[waiting]
