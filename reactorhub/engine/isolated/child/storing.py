"""Counts the items of a crawl that were scraped and could not be stored."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from scrapy.crawler import Crawler
from scrapy.extensions.feedexport import FeedExporter
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .feed import has_feeds
from .project import last_line

_NOT_SET_UP = "no feed could be set up; the log of the run says why"
NewBatches = Callable[[FeedExporter, Callable[[Any], Any]], None]


class Storing:
    """What has become of the items of a crawl: the hub's own file and the project's feeds.

    What writes items without being a feed calls :meth:`failed` for each that it cannot write.
    """

    def __init__(self) -> None:
        self.why: str | None = None
        """The newest exception's last line, where it is known."""
        self._failed = 0
        self._wanted = False
        self._exporters: list[FeedExporter] = []
        self._batches: list[_Batch] = []

    def failed(self, error: BaseException) -> None:
        """Count an item that could not be stored."""
        self._failed += 1
        self.why = last_line(error)

    def watch(self, crawler: Crawler, wrap_new_batches: NewBatches) -> None:
        """Watch the feeds of a crawl that has its extensions and has not opened its spider.

        :param wrap_new_batches: calls a function with each batch of an exporter.
        """
        extensions: Any = crawler.extensions
        self._exporters = [each for each in extensions.middlewares if isinstance(each, FeedExporter)]
        for exporter in self._exporters:
            wrap_new_batches(exporter, self._begin)
        self._wanted = not self._exporters and has_feeds(crawler) and _feeds_enabled(crawler)

    def unstored(self, scraped: int) -> int:
        """Return how many of the items that were scraped could not be stored."""
        if scraped and (self._wanted or (self._exporters and not self._batches)):
            self.why = self.why or _NOT_SET_UP
            return scraped
        by_feed: dict[str, int] = {}
        for batch in self._batches:
            by_feed[batch.feed] = by_feed.get(batch.feed, 0) + batch.lost
        return min(self._failed + max(by_feed.values(), default=0), scraped)

    def facts(self, scraped: int) -> dict[str, Any]:
        """Return the count and the cause, by the names that they have in the facts of a crawl."""
        unstored = self.unstored(scraped)
        return {"unstored": unstored, "unstored_why": self.why if unstored else None}

    def _begin(self, slot: Any) -> Any:
        batch = _Batch(slot, self._broken)
        self._batches.append(batch)
        return slot

    def _broken(self, error: BaseException) -> None:
        self.why = last_line(error)


class _Batch:
    """One file of one feed. It stands in the slot as the filter, and so sees each item."""

    def __init__(self, slot: Any, broken: Callable[[BaseException], None]) -> None:
        self.feed = str(slot.uri_template)
        self._slot = slot
        self._accepts = slot.filter.accepts
        self._store = slot.storage.store
        self._broken = broken
        self._taken = 0
        self._done = False
        slot.filter = self
        try:
            slot.storage.store = self.store
        except AttributeError:  # a storage of the project's own with slots: nobody can tell
            self._done = True

    @property
    def lost(self) -> int:
        """How many items it has taken that are not in a file now."""
        return self._taken - (self._slot.itemcount if self._done else 0)

    def accepts(self, item: Any) -> bool:
        """Ask the feed's filter."""
        accepted = bool(self._accepts(item))
        self._taken += accepted
        return accepted

    def store(self, file: Any) -> Any:
        """Store the file, whether at once, in a thread or in a coroutine."""
        try:
            stored = self._store(file)
        except Exception as error:
            self._broken(error)
            raise
        if isinstance(stored, Deferred):
            return stored.addCallbacks(self._stored, self._not_stored)
        if isawaitable(stored):
            return self._awaited(stored)
        return self._stored(stored)

    async def _awaited(self, storing: Any) -> Any:
        try:
            return self._stored(await storing)
        except Exception as error:
            self._broken(error)
            raise

    def _stored(self, result: Any) -> Any:
        self._done = True
        return result

    def _not_stored(self, failure: Failure) -> Failure:
        if failure.value is not None:
            self._broken(failure.value)
        return failure


def _feeds_enabled(crawler: Crawler) -> bool:
    extensions = crawler.settings.getwithbase("EXTENSIONS").items()
    return any(order is not None and _is_exporter(extension) for extension, order in extensions)


def _is_exporter(extension: Any) -> bool:
    return extension is FeedExporter or str(extension).endswith(".feedexport.FeedExporter")
