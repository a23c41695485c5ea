"""Context variables follow through Twisted's hops, and nothing that belongs to a run ends the process."""

from __future__ import annotations

import asyncio
import gc
from threading import Event
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread, deferToThreadPool
from twisted.logger import globalLogPublisher
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase

from reactorhub.containment.contexts import RUN, RunContext
from reactorhub.containment.memory_log import MemoryRunLog
from reactorhub.containment.reactor import carry_contexts_into_threads
from reactorhub.containment.thread_shares import MAX_THREADS_OF_RUN


def whose() -> str | None:
    """The id of the run that the present code belongs to."""
    run = RUN.get()
    return None if run is None else run.run_id


class ContextTests(TestCase):
    """Each hop on the real reactor, prepared as the hub prepares it."""

    def setUp(self) -> None:
        """Make a run, and a pool of our own that carries contexts."""
        self.run_ = RunContext("mine", MemoryRunLog())
        self.loop = reactor._asyncioEventloop  # type: ignore[attr-defined]
        self.pool = ThreadPool(1, 2)
        self.pool.start()
        self.addCleanup(self.pool.stop)
        carry_contexts_into_threads(self.pool, self.loop, 2)

    async def test_timers(self) -> None:
        """A delayed call runs in the context that asked for it, whoever armed the timer."""
        seen: list[str | None] = []
        reactor.callLater(0.001, lambda: seen.append(whose()))  # type: ignore[attr-defined]
        self.run_.enter(reactor.callLater, 0.002, lambda: seen.append(whose()))  # type: ignore[attr-defined]
        reactor.callLater(0.003, lambda: seen.append(whose()))  # type: ignore[attr-defined]
        await deferLater(reactor, 0.02)  # type: ignore[arg-type]
        assert seen == [None, "mine", None]

    async def test_threads(self) -> None:
        """Work in a thread, and what follows it on the reactor, belong to the run."""

        def work() -> Deferred[tuple[str | None, str | None]]:
            waiting = deferToThreadPool(reactor, self.pool, whose)
            return waiting.addCallback(lambda inside: (inside, whose()))

        assert await self.run_.enter(work) == ("mine", "mine")
        assert await work() == (None, None)

    async def test_the_default_executor(self) -> None:
        """run_in_executor carries the context too."""
        future = self.run_.enter(self.loop.run_in_executor, None, whose)
        assert await Deferred.fromFuture(asyncio.ensure_future(future)) == "mine"

    async def test_calls_that_block_hold_up_no_other_run(self) -> None:
        """A run that fills its share of both pools leaves threads to others, and its calls all end."""
        size = MAX_THREADS_OF_RUN + 1
        pool = ThreadPool(0, size)
        pool.start()
        self.addCleanup(pool.stop)
        carry_contexts_into_threads(pool, self.loop, size)
        gate, neighbour = Event(), RunContext("other", MemoryRunLog())
        self.addCleanup(gate.set)

        def in_executor(call: Any) -> Any:
            return Deferred.fromFuture(asyncio.ensure_future(self.loop.run_in_executor(None, call)))

        for hand_over in (lambda call: deferToThreadPool(reactor, pool, call), in_executor):
            gate.clear()
            blocked = [self.run_.enter(hand_over, gate.wait) for _ in range(3 * size)]
            assert await neighbour.enter(hand_over, whose) == "other"
            assert await hand_over(whose) is None
            gate.set()
            assert [await each for each in blocked] == [True] * len(blocked)
            await deferLater(reactor, 0)  # type: ignore[arg-type]

    async def test_from_other_threads(self) -> None:
        """callFromThread keeps the context of the thread that called it."""
        seen: Deferred[str | None] = Deferred()
        self.run_.enter(
            deferToThreadPool,
            reactor,
            self.pool,
            lambda: reactor.callFromThread(lambda: seen.callback(whose())),  # type: ignore[attr-defined]
        )
        assert await seen == "mine"
        await deferLater(reactor, 0)  # type: ignore[arg-type]  # trial may not end the loop from within a run

    async def test_unhandled_errors(self) -> None:
        """An error that nobody looks at is reported in the context it came from."""
        seen: list[str | None] = []

        def observer(event: Any) -> None:
            if event.get("log_failure") is not None:
                seen.append(whose())

        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.run_.enter(fail, ValueError("nobody looks"))
        gc.collect()
        assert seen == ["mine"]
        self.flushLoggedErrors(ValueError)

    async def test_deferToThread_of_the_reactor_s_own_pool(self) -> None:
        """What is not prepared still works."""
        assert await deferToThread(lambda: 7) == 7
