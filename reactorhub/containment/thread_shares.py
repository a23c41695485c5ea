"""Gives each run its share of a pool of threads, so that calls which block hold up no other run."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any

from reactorhub.containment.contexts import RUN, RunContext

MAX_THREADS_OF_RUN = 10
"""Calls of one run that are at work in a pool at the same time. Scrapy's own pool has as many threads."""

Call = Callable[..., Any]


class ThreadShares:
    """The shares of one pool. What a run wants beyond its share waits in a line of the run's own.

    Calls of nobody's run have no limit. All methods may be called from any thread.
    """

    def __init__(self, limit: int = MAX_THREADS_OF_RUN) -> None:
        self._limit = limit
        self._lock = Lock()
        self._at_work: Counter[RunContext] = Counter()
        self._lines: defaultdict[RunContext, deque[Callable[[], object]]] = defaultdict(deque)

    def hand_over(self, to_pool: Callable[[Call], object], call: Call) -> None:
        """Hand a call to the pool, now or as soon as an earlier one of the same run is done.

        :param to_pool: has the pool call a function once in one of its threads.
        """
        run = RUN.get()
        if run is None:
            to_pool(call)
            return
        begin = partial(to_pool, partial(self._work, run, call))
        with self._lock:
            if self._at_work[run] >= self._limit:
                self._lines[run].append(begin)
                return
            self._at_work[run] += 1
        self._begin(run, begin)

    def waiting(self) -> int:
        """Return how many calls wait in the lines of all runs."""
        with self._lock:
            return sum(map(len, self._lines.values()))

    def _work(self, run: RunContext, call: Call, *args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        finally:
            following = self._done(run)
            if following is not None:
                with suppress(Exception):  # of a pool that has stopped; it is not this call's affair
                    self._begin(run, following)

    def _begin(self, run: RunContext, begin: Callable[[], object]) -> None:
        try:
            begin()
        except BaseException:  # a pool that has stopped takes nothing
            with self._lock:
                self._give_back(run)
                self._lines.pop(run, None)
            raise

    def _done(self, run: RunContext) -> Callable[[], object] | None:
        """Return what follows in the place of a call that is done; give the place back if nothing does."""
        with self._lock:
            line = self._lines.get(run)
            if line:
                following = line.popleft()
                if not line:
                    del self._lines[run]
                return following
            self._give_back(run)
        return None

    def _give_back(self, run: RunContext) -> None:
        self._at_work[run] -= 1
        if not self._at_work[run]:
            del self._at_work[run]
