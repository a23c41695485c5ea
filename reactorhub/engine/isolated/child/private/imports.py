"""Refuses what a module would start when it is imported: a crawl that no ledger knows, or the reactor.

The run that the process is for could not begin any more: a reactor runs only once.
"""

from __future__ import annotations

import asyncio
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
        reactor = sys.modules.get("twisted.internet.reactor")
        if reactor is not None:
            stack.enter_context(_without(reactor, "run", "reactor.run()"))
            loop = asyncio.get_event_loop()  # the reactor has made it, or taken it over
            stack.enter_context(_without(loop, "run_forever", "loop.run_forever()"))
        yield


@contextmanager
def _without(owner: Any, name: str, shown: str) -> Iterator[None]:
    """Let a method of one object raise ImportError meanwhile."""
    before = {key: value for key, value in vars(owner).items() if key == name}
    vars(owner)[name] = _refusing(shown)
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
