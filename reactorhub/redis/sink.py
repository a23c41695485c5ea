"""The sink that writes to Redis or Valkey.

One loop, one write in flight. Publishing only puts a view into the buffer. The loop waits a moment, so that
many runs share one round trip, and then writes a batch. If the write fails, the batch returns to the buffer
until Redis is connected again; a batch that a connected Redis refuses is tried again after a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from reactorhub.events.sink import Sink, SinkState
from reactorhub.model.values import View
from reactorhub.redis.buffer import Write, WriteBuffer
from reactorhub.redis.commands import HUB_TTL, RedisCommands, event_text
from reactorhub.redis.hub_name import HubIdentity, HubName
from reactorhub.spiderkit.connection.client import ClientState, RedisClient
from reactorhub.spiderkit.connection.commands import Command
from reactorhub.spiderkit.connection.delays import backoff
from reactorhub.spiderkit.connection.errors import RedisRefused, RedisUnavailable, code_of

RUNS_PER_WRITE = 50  # so that encoding one write does not hold up the reactor
EVENTS_PER_WRITE = 200  # events are smaller than views
KEEP_NAME_EVERY = HUB_TTL / 3  # seconds between two heartbeats before the hub publishes its own
MIN_TO_LEAVE = 0.1  # seconds to give the name back, however long the last writes took
_AWAY = ("reconnecting", "auth_failed")


def _refusals(replies: Sequence[Any]) -> list[Exception]:
    """Return the errors that concern one write alone.

    :raises Exception: the first error that concerns them all, such as a server that is out of memory.
    """
    errors = [reply for reply in replies if isinstance(reply, Exception)]
    refused = [error for error in errors if "WRONGTYPE" in str(error)]
    for error in errors:
        if error not in refused:
            raise error
    return refused


class _Bell:
    """Lets one coroutine wait until :meth:`ring` is called."""

    def __init__(self) -> None:
        self._waiting: Deferred[None] = succeed(None)

    def wait(self) -> Deferred[None]:
        self._waiting = Deferred()
        return self._waiting

    def wait_at_most(self, seconds: float, clock: IReactorTime) -> Deferred[None]:
        return self.wait().addTimeout(seconds, clock, onTimeoutCancel=lambda _result, _timeout: None)

    def ring(self) -> None:
        if not self._waiting.called:
            self._waiting.callback(None)


class RedisSink:
    """Writes views under ``prefix``. See :class:`reactorhub.events.sink.Sink` and the contract's Redis keys.

    It starts ``client`` and stops it at the end; others may use it meanwhile. ``clock`` is the reactor,
    ``now`` the wall clock. ``gather`` is how long views wait for each other, in seconds. A batch whose reply
    was lost is sent again. That does not change hashes. Repeated events are recognised by their id among the
    newest 1,000.
    """

    _log = Logger()

    def __init__(
        self,
        client: RedisClient,
        prefix: str,
        identity: HubIdentity,
        clock: Any,
        now: Callable[[], datetime],
        *,
        gather: float = 0.08,
        commands: RedisCommands | None = None,
        buffer: WriteBuffer | None = None,
    ) -> None:
        self._client = client
        self._name = HubName(identity, prefix)
        self._commands = commands or RedisCommands(prefix=prefix, hub=identity.name)
        self._buffer = WriteBuffer() if buffer is None else buffer
        self._clock = clock
        self._now = now
        self._gather = gather
        self._work, self._rest = _Bell(), _Bell()
        self._running: Deferred[None] = succeed(None)
        self._stopping = self._given_up = False
        self._failures = self._refused = 0
        self._is_refused = False
        self._state = ClientState(since=now())
        self._keeping = LoopingCall(self._keep_name)
        self._keeping.clock = clock

    def start(self) -> Deferred[None]:
        """Start the loop and the client, and take the hub's name.

        Fires after the first attempt to connect, even if that failed. If it has not failed, :meth:`state`
        then says whether another hub has the name.
        """
        self._client.watch(self._client_changed)
        self._running = Deferred.fromCoroutine(self._serve())
        return Deferred.fromCoroutine(self._start())

    def stop(self, within: float) -> Deferred[None]:
        """Write the rest and give the name back, within ``within`` seconds; stop the client. Never fails."""
        return Deferred.fromCoroutine(self._stop(within))

    def publish_run(self, run: View, at: datetime) -> None:
        """See Sink.publish_run."""
        self._buffer.add_run(run, at)
        self._work.ring()

    def publish_event(self, event: View) -> None:
        """See Sink.publish_event."""
        self._buffer.add_event(event_text(event))
        self._work.ring()

    def publish_hub(self, hub: View) -> None:
        """See Sink.publish_hub."""
        self._stop_keeping()
        self._buffer.set_hub(hub)
        self._work.ring()

    def state(self) -> SinkState:
        """The state of the connection. ``dropped`` counts what the buffer dropped and what Redis refused."""
        return SinkState(
            state=self._state.state,
            since=self._state.since,
            reason=self._state.reason,
            dropped=self._buffer.dropped + self._refused,
            conflict=self._name.conflict,
        )

    async def _start(self) -> None:
        self._keeping.start(KEEP_NAME_EVERY, now=False)
        await self._client.start()
        with suppress(RedisUnavailable):
            self._heard_of_name(await self._client.ask([self._name.beat({})]))

    def _keep_name(self) -> None:
        """Write a heartbeat that says only which process this is: a hub may take long to start."""
        self._buffer.set_hub({})
        self._work.ring()

    def _stop_keeping(self) -> None:
        if self._keeping.running:
            self._keeping.stop()

    async def _serve(self) -> None:
        while not self._finished():
            await self._something_to_do()
            try:
                await self._write()
            except Exception as error:  # noqa: BLE001 - whatever it was, the sink tries again
                self._note_failure(error)
                if not self._finished():
                    await self._rest.wait_at_most(backoff(self._failures), self._clock)

    async def _something_to_do(self) -> None:
        while not (self._finished() or (self._buffer and self._connected())):
            await self._work.wait()
        if len(self._buffer) < RUNS_PER_WRITE and not self._stopping:
            await self._rest.wait_at_most(self._gather, self._clock)

    def _connected(self) -> bool:
        return self._client.state.state == "connected"

    async def _write(self) -> None:
        write = self._buffer.take(RUNS_PER_WRITE, EVENTS_PER_WRITE)
        commands = self._writes(write)
        try:
            replies = await self._client.ask(commands)
            if write.hub is not None:
                self._heard_of_name(replies)
            refused = _refusals(replies)
        except BaseException:
            self._buffer.give_back(write)
            raise
        self._note_written()
        if refused:
            self._note_refused(refused)

    def _writes(self, write: Write) -> list[Command]:
        commands: list[Command] = [self._commands.save_run(run.view, run.at) for run in write.runs.values()]
        if write.events:
            commands.append(self._commands.append_events(write.events, write.again))
        if write.hub is not None:
            commands.append(self._name.beat(write.hub))
        return commands

    def _heard_of_name(self, replies: Sequence[Any]) -> None:
        if not isinstance(replies[-1], Exception):
            self._name.heard(replies[-1])

    def _finished(self) -> bool:
        return self._given_up or (self._stopping and not self._buffer)

    def _wake(self) -> None:
        self._rest.ring()
        self._work.ring()

    async def _stop(self, within: float) -> None:
        self._stopping = True
        self._stop_keeping()
        deadline = self._clock.seconds() + within
        bound = self._clock.callLater(within, self._give_up)
        self._wake()
        await self._running
        if bound.active():
            bound.cancel()
        if self._buffer:
            self._log.warn("{count} views and events were not sent to Redis in time", count=len(self._buffer))
        else:
            await self._leave(deadline - self._clock.seconds())
        await self._client.stop()

    async def _leave(self, within: float) -> None:
        with suppress(RedisUnavailable):
            await self._client.ask([self._name.leave()], within=max(within, MIN_TO_LEAVE))

    def _give_up(self) -> None:
        self._given_up = True
        self._wake()
        self._running.cancel()

    def _client_changed(self, state: ClientState) -> None:
        if state.state != "connected" or not self._is_refused:
            self._become(state.state, state.reason)
        self._wake()

    def _become(self, state: str, reason: str = "") -> None:
        old = self._state
        since = old.since if state == old.state else self._now()
        self._state = ClientState(state=state, since=since, reason=reason)
        if state == "connected" and old.state != "connected":
            self._failures = 0
            self._log.info("connected to Redis at {address}", address=str(self._client.address))
        elif state in _AWAY and reason and (state != old.state or not old.reason):
            self._log_outage(reason)

    def _log_outage(self, reason: str) -> None:
        self._log.warn(
            "Redis at {address} cannot be written to ({reason}); views and events wait in memory",
            address=str(self._client.address),
            reason=reason,
        )

    def _note_written(self) -> None:
        self._failures, self._is_refused = 0, False
        self._become("connected")

    def _note_failure(self, error: Exception) -> None:
        self._failures += 1
        if self._given_up:
            return
        if isinstance(error, RedisRefused):
            self._note_refusal(error)
        elif not isinstance(error, RedisUnavailable):
            self._log.failure("the Redis sink failed because of a bug in the hub; it will try again")

    def _note_refusal(self, error: RedisRefused) -> None:
        """Note that Redis takes no writes now. It is not called connected before it has taken one."""
        self._is_refused = True
        self._become("reconnecting", str(error))
        if code_of(error) == "READONLY":
            self._client.reconnect(str(error))  # after a failover the address leads to the new primary

    def _note_refused(self, replies: Sequence[Exception]) -> None:
        if not self._refused:
            self._log.warn("Redis refused a write, which is dropped: {reason}", reason=str(replies[0]))
        self._refused += len(replies)


_: type[Sink] = RedisSink
