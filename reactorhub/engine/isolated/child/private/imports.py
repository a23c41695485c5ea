"""Refuses what a module would start when it is imported: a crawl that no ledger knows, or the reactor.

The run that the process is for could not begin any more: a reactor runs only once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

from scrapy import crawler

_STARTS = (
    ("CrawlerRunner", "crawl"),
    ("AsyncCrawlerRunner", "crawl"),
    ("CrawlerProcess", "start"),
    ("AsyncCrawlerProcess", "start"),
)


@contextmanager
def no_crawls() -> Iterator[None]:
    """Let these methods raise ImportError, with advice, for as long as modules are imported."""
    with ExitStack() as stack:
        for kind, name in _STARTS:
            owner = getattr(crawler, kind, None)  # not every version has each of them
            if owner is not None:
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, _refusing(f"{kind}.{name}()"))
        reactor: Any = sys.modules.get("twisted.internet.reactor")
        if reactor is not None:
            stack.enter_context(_with(reactor, "run", _refusing("reactor.run()")))
            loop = reactor._asyncioEventloop  # not asyncio's current one: modules may have set another
            until_complete, forever = _ending_only(loop)
            stack.enter_context(_with(loop, "run_until_complete", until_complete))
            stack.enter_context(_with(loop, "run_forever", forever))
        yield


def _ending_only(loop: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return replacements for two methods: a module may await what ends, as under ``scrapy crawl``."""
    run_until_complete, run_forever = loop.run_until_complete, loop.run_forever
    refuse = _refusing("loop.run_forever()")
    awaiting = 0

    def until_complete(future: Any) -> Any:
        nonlocal awaiting
        awaiting += 1
        try:
            return run_until_complete(future)
        finally:
            awaiting -= 1

    return until_complete, lambda: run_forever() if awaiting else refuse()


@contextmanager
def _with(owner: Any, name: str, method: Callable[..., Any]) -> Iterator[None]:
    """Let one object have another method meanwhile."""
    before = {key: value for key, value in vars(owner).items() if key == name}
    vars(owner)[name] = method
    try:
        yield
    finally:
        del vars(owner)[name]
        vars(owner).update(before)


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise ImportError(
            f'this module calls {name} when it is imported; put the call below `if __name__ == "__main__":`'
        )

    return refuse
