"""In a process of its own, too, what the project raises is an ordinary exception where Scrapy calls it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from reactorhub.engine.isolated.child.private import escapes
from reactorhub.engine.isolated.child.private.escapes import EscapedError, contained


class Panic(BaseException):
    """What a library raises that expects nobody to catch it."""

    def __str__(self) -> str:
        raise SystemExit(2)


def _plain(error: BaseException) -> None:
    raise error


async def _coroutine(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


def _generator(error: BaseException) -> Iterator[int]:
    yield 1
    raise error


async def _async_generator(error: BaseException) -> AsyncIterator[int]:
    yield 1
    raise error


async def _later(error: BaseException) -> Iterator[int]:
    return _generator(error)


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine without touching the current event loop, which other tests have."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


async def _outcome(call: Callable[..., Any], error: BaseException) -> Any:
    """Call, await, walk through: return what came and what was raised."""
    result = contained(call)(error)
    if inspect.iscoroutine(result):
        result = await result
    if hasattr(result, "__aiter__"):
        return [each async for each in result]
    return list(result or ())


CALLS = (_plain, _coroutine, _generator, _async_generator, _later)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("error", [Panic(), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_what_would_hang_becomes_ordinary(call: Callable[..., Any], error: BaseException) -> None:
    """A plain call, a coroutine and a generator raise an ordinary exception that names the real one."""
    with pytest.raises(EscapedError, match=f"the spider raised {type(error).__name__}") as caught:
        _run(_outcome(call, error))
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("call", CALLS)
def test_ordinary_exceptions_stay_what_they_are(call: Callable[..., Any]) -> None:
    """They are not wrapped, and have no cause that they did not have."""
    error = ValueError("no price")
    with pytest.raises(ValueError, match="no price") as caught:
        _run(_outcome(call, error))
    assert caught.value is error
    assert error.__cause__ is None


def test_a_real_cancel_stays_one() -> None:
    """A task that is cancelled while it awaits the project's code ends as cancelled."""

    async def wait() -> None:
        await asyncio.sleep(60)

    async def cancel() -> bool:
        task = asyncio.create_task(contained(wait)())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert _run(cancel())


def test_a_forked_child_ends_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    """``sys.exit()`` in a child that the crawl has forked ends that child, as Python does."""
    left: list[BaseException] = []

    def leave(error: BaseException) -> None:
        left.append(error)
        raise error

    monkeypatch.setattr(escapes, "is_forked", lambda: True)
    monkeypatch.setattr(escapes, "leave", leave)
    error = SystemExit(7)
    with pytest.raises(SystemExit):
        contained(_plain)(error)
    assert left == [error]
