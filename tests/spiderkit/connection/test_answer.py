"""A Deferred that is awaited by coroutines of either kind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from reactorhub.spiderkit.connection.answer import Answer

T = TypeVar("T")


def in_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop that is not the reactor's, and is nobody's afterwards."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


async def await_it(answer: Answer[str]) -> str:
    """Await an answer, as a spider would."""
    return f"got {await answer}"


async def outcome(coroutine: Coroutine[Any, Any, str]) -> str:
    """Return what a coroutine returns or raises."""
    try:
        return await coroutine
    except Exception as error:  # noqa: BLE001 - it is the outcome
        return repr(error)


class TaskTests(SynchronousTestCase):
    """Tasks of asyncio, in a loop of their own."""

    def outcome(self, act: Any) -> str:
        """Await an answer in a task while ``act`` is done to the answer; return the outcome."""
        answer: Answer[str] = Answer()

        async def main() -> str:
            asyncio.get_running_loop().call_later(0.001, act, answer)
            return await outcome(await_it(answer))

        return in_loop(main())

    def test_a_result_that_comes_later(self) -> None:
        """The task goes on with the result."""
        self.assertEqual(self.outcome(lambda answer: answer.callback("x")), "got x")

    def test_an_error_that_comes_later(self) -> None:
        """The error is raised where the task waits, and is not reported a second time."""
        self.assertEqual(self.outcome(lambda answer: answer.errback(KeyError("x"))), "KeyError('x')")
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_result_that_is_there(self) -> None:
        """Nothing is waited for."""
        answer: Answer[str] = Answer()
        answer.callback("x")
        self.assertEqual(in_loop(await_it(answer)), "got x")

    def test_functions_of_asyncio(self) -> None:
        """What asyncio does with an awaitable object, it does with an answer."""

        async def main() -> list[str]:
            answers: list[Answer[str]] = [Answer(), Answer(), Answer()]
            for answer in answers[:2]:
                asyncio.get_running_loop().call_later(0.001, answer.callback, "x")
            found = await asyncio.gather(asyncio.wait_for(answers[0], 5), answers[1])
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(answers[2], 0.001)
            return found

        self.assertEqual(in_loop(main()), ["x", "x"])
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_task_that_is_cancelled(self) -> None:
        """The answer is cancelled, and the task ends as cancelled tasks do."""
        cancelled: list[Any] = []

        async def main() -> bool:
            task = asyncio.ensure_future(await_it(Answer(cancelled.append)))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled()

        self.assertTrue(in_loop(main()))
        self.assertEqual(len(cancelled), 1)
        cancelled.clear()
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_coroutine_of_twisted_within_a_task(self) -> None:
        """What a task starts as a Deferred is still a coroutine of Twisted."""
        answer: Answer[str] = Answer()

        async def main() -> str:
            started: Deferred[str] = Deferred.fromCoroutine(await_it(answer))
            answer.callback("x")
            return self.successResultOf(started)

        self.assertEqual(in_loop(main()), "got x")


class TwistedTests(SynchronousTestCase):
    """Coroutines that Twisted runs."""

    def test_result_and_error(self) -> None:
        """They go on with the result, or with the error."""
        good: Answer[str] = Answer()
        bad: Answer[str] = Answer()
        results = [Deferred.fromCoroutine(outcome(await_it(each))) for each in (good, bad)]
        good.callback("x")
        bad.errback(KeyError("x"))
        self.assertEqual([self.successResultOf(each) for each in results], ["got x", "KeyError('x')"])

    def test_cancel(self) -> None:
        """Cancelling the coroutine cancels the answer."""
        answer: Answer[str] = Answer()
        waiting = Deferred.fromCoroutine(await_it(answer))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(answer.called)
