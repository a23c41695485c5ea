"""Which requests belong to which entry, and when an entry has been handled. Pure, no Scrapy, no I/O.

An entry is open from the moment it is taken. It has been handled when nothing of it is under way any more:
with ``response`` the requests that it describes and the items of their responses, with ``tree`` also every
request that these led to. A request that is filtered, dropped, or fails to download has been handled, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from reactorhub.spiderkit.feed.entries import Entry
from reactorhub.spiderkit.feed.queue import Handled


class OpenEntry:
    """An entry that has not been handled yet."""

    __slots__ = ("cut", "delivering", "handled", "requests")

    def __init__(self, entry: Entry) -> None:
        self.handled = Handled(entry=entry)
        self.requests = 0
        """Its requests that are under way."""
        self.delivering = True
        """Whether the spider still makes its requests."""
        self.cut = False
        """Whether something of it was cut off because the spider closes."""


class Accounts:
    """The open entries of one spider, by their ids. Methods ignore ids that are not open."""

    def __init__(self, finished: Callable[[Handled], None], *, tree: bool = False) -> None:
        """
        :param finished: called with each entry that has been handled.
        :param tree: whether an entry waits for every request that its own requests led to.
        """
        self.tree = tree
        self.closing = False
        """Whether the spider closes: what fails from now on was cut off, and has not been handled."""
        self._finished = finished
        self._open: dict[str, OpenEntry] = {}

    def __len__(self) -> int:
        """The number of open entries."""
        return len(self._open)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._open

    @property
    def ids(self) -> list[str]:
        """The ids of all open entries, oldest first."""
        return list(self._open)

    def take(self, entries: Iterable[Entry]) -> None:
        """Open entries. An entry stays open at least until :meth:`delivered`."""
        for entry in entries:
            self._open[entry.id] = OpenEntry(entry)

    def delivered(self, entry_id: str) -> None:
        """Note that all requests of an entry were made."""
        if (entry := self._open.get(entry_id)) is not None:
            entry.delivering = False
            self._look_at(entry)

    def of_task(self, entry_id: str, task_id: str | None) -> None:
        """Note the task that an entry belongs to."""
        if (entry := self._open.get(entry_id)) is not None:
            entry.handled.task_id = task_id

    def task_of(self, entry_id: str) -> str | None:
        """Return the task of an entry."""
        entry = self._open.get(entry_id)
        return None if entry is None else entry.handled.task_id

    def forget(self, ids: Collection[str]) -> None:
        """Close entries without an end: they were buried, given back, or another consumer has them."""
        for entry_id in ids:
            self._open.pop(entry_id, None)

    def begin(self, entry_id: str) -> None:
        """Note that one more request of an entry is under way."""
        if (entry := self._open.get(entry_id)) is not None:
            entry.requests += 1

    def end(self, entry_id: str) -> None:
        """Note that one of the requests of an entry is over, and all that the spider made of it."""
        if (entry := self._open.get(entry_id)) is not None:
            entry.requests -= 1
            self._look_at(entry)

    def item(self, entry_id: str) -> None:
        """Count an item that passed all pipelines."""
        if (entry := self._open.get(entry_id)) is not None:
            entry.handled.items += 1

    def accepted(self, entry_id: str) -> None:
        """Count a request that the scheduler took."""
        if (entry := self._open.get(entry_id)) is not None:
            entry.handled.requests += 1

    def responded(self, entry_id: str) -> None:
        """Count a response that reaches the spider."""
        if (entry := self._open.get(entry_id)) is not None:
            entry.handled.responses += 1

    def failed(self, entry_id: str) -> None:
        """Count a request that failed to download."""
        if (entry := self._open.get(entry_id)) is not None:
            entry.handled.failed += 1
            entry.cut = entry.cut or self.closing

    def error(self, entry_id: str) -> None:
        """Count an exception in a callback, an errback or a pipeline."""
        if (entry := self._open.get(entry_id)) is not None:
            entry.handled.errors += 1
            entry.cut = entry.cut or self.closing

    def unfinishable(self, running: Iterable[str]) -> list[str]:
        """Return the open entries that cannot be finished any more when only some requests go on.

        :param running: the entry of each request that goes on, several times for several requests.
        """
        counts = Counter(running)
        return [
            entry_id
            for entry_id, entry in self._open.items()
            if entry.delivering or entry.cut or entry.requests > counts[entry_id]
        ]

    def settle(self) -> list[str]:
        """Finish the entries of which a component lost a request. Call this when nothing is under way."""
        lost = [entry_id for entry_id, entry in self._open.items() if not entry.delivering]
        for entry_id in lost:
            self._finished(self._open.pop(entry_id).handled)
        return lost

    def _look_at(self, entry: OpenEntry) -> None:
        if not entry.requests and not entry.delivering and not entry.cut:
            del self._open[entry.handled.entry.id]
            self._finished(entry.handled)
