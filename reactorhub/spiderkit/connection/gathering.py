"""Commands that are in no hurry: they wait for each other, and go out together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from reactorhub.spiderkit.connection.answer import Answer
from reactorhub.spiderkit.connection.commands import Argument, encoded
from reactorhub.spiderkit.connection.errors import RedisUnavailable

GATHER = 0.1  # seconds for which commands wait
MAX_GATHERED = 1_000  # commands in one batch; more are refused

Ask = Callable[[Sequence[tuple[Argument, ...]]], Coroutine[Any, Any, list[Any]]]


class _Gathered(NamedTuple):
    """A command that waits, and the context of its caller, to which the reply belongs."""

    words: tuple[Argument, ...]
    answer: Answer[Any]
    context: Context


class Gathering:
    """Collects commands and hands them to ``ask``. Timer and sending belong to the context ``home``."""

    def __init__(self, clock: IReactorTime, home: Context, ask: Ask) -> None:
        self._clock = clock
        self._home = home
        self._ask = ask
        self._gathered: list[_Gathered] = []
        self._timer: IDelayedCall | None = None

    def add(self, command: tuple[Argument, ...]) -> Answer[Any]:
        """Send a command soon; return its reply.

        :raises UnicodeEncodeError: if a word cannot be written as UTF-8.
        """
        if len(self._gathered) >= MAX_GATHERED:
            return failed(RedisUnavailable(f"{MAX_GATHERED:,} commands wait for Redis already"))
        gathered = _Gathered(encoded(command), Answer(), copy_context())
        if not self._gathered:
            self._timer = self._home.copy().run(self._clock.callLater, GATHER, self._send)
        self._gathered.append(gathered)
        return gathered.answer

    def send_now(self) -> Awaitable[None]:
        """Send what waits. Fires when all of it is answered, or has failed."""
        if self._timer is None or not self._timer.active():
            return succeed(None)
        self._timer.cancel()
        return self._home.copy().run(self._send)

    def _send(self) -> Deferred[None]:
        gathered, self._gathered = self._gathered, []
        return Deferred.fromCoroutine(self._send_all(gathered))

    async def _send_all(self, gathered: Sequence[_Gathered]) -> None:
        replies: Sequence[Any]
        try:
            replies = await self._ask([each.words for each in gathered])
        except Exception as error:  # noqa: BLE001 - each caller gets it
            replies = [error] * len(gathered)
        for each, reply in zip(gathered, replies, strict=True):
            each.context.run(fire, each.answer, reply)


def fire(deferred: Deferred[Any], result: Any) -> None:
    """Let a Deferred fire with a result, or fail with an exception."""
    (deferred.errback if isinstance(result, Exception) else deferred.callback)(result)


def failed(error: Exception) -> Answer[Any]:
    """Return an answer that has failed."""
    answer: Answer[Any] = Answer()
    answer.errback(error)
    return answer
