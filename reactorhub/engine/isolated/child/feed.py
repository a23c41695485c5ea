"""The items file of a run. It is not a feed of Scrapy's, so no FEED_* setting of a project reaches it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exporters import JsonLinesItemExporter


class ItemsFile:
    """Writes the items of a crawl, one line of JSON for each, unless the project sets feeds of its own.

    It runs in every version of Scrapy from 2.11 on, in the hub's process and in isolated ones.
    """

    def __init__(self, path: str) -> None:
        """:param path: of the file, absolute; it may hold any character."""
        self._path = path
        self._file: _Lines | None = None
        self._crawler: Crawler | None = None
        self.replaced = False
        """Whether the project sets feeds of its own, so that there is no items file."""

    def watch(self, crawler: Crawler) -> None:
        """Connect to a crawl that has not begun, before others: they may change the items they see."""
        self._crawler = crawler
        crawler.signals.connect(self._scraped, signals.item_scraped)

    def begin(self, crawler: Crawler, failed: Callable[[BaseException], None] = lambda error: None) -> None:
        """Create the file, now that nobody can change the settings of the crawl any more.

        :param failed: called with the exception for each item that cannot be written.
        :raises OSError: if the file cannot be created.
        """
        self.replaced = has_feeds(crawler)
        if not self.replaced:
            self._file = _Lines(Path(self._path))
            self._exporter = ItemLines(self._file, encoding="utf-8")
            self._failed = failed

    def close(self) -> None:
        """Close the file. What the crawl scrapes later is not written."""
        if self._crawler is not None:
            self._crawler.signals.disconnect(self._scraped, signals.item_scraped)
        if self._file is not None:
            self._file.close()
        self._file = self._crawler = None

    def _scraped(self, item: Any) -> None:
        if self._file is None:
            return
        try:
            self._exporter.export_item(item)
        except Exception as error:
            self._failed(error)
            raise


def has_feeds(crawler: Crawler) -> bool:
    """Return whether the settings of a crawl name feeds."""
    return bool(crawler.settings.getdict("FEEDS") or crawler.settings.get("FEED_URI"))


class ItemLines(JsonLinesItemExporter):
    """JSON Lines in UTF-8, as Scrapy writes them, but each line is JSON.

    Half a character, which UTF-8 cannot hold, is escaped. NaN and Infinity, which JSON lacks, become null.
    """

    def __init__(self, file: Any, **kwargs: Any) -> None:
        super().__init__(file, allow_nan=False, **kwargs)
        encode = self.encoder.encode

        def encode_all(o: Any) -> str:
            try:
                text = encode(o)
            except ValueError:
                text = self._without_nan(o)
            return text if text.isascii() else escaped(text)

        self.encoder.encode = encode_all  # type: ignore[method-assign]

    def _without_nan(self, item: Any) -> str:
        """Encode an item that has numbers which JSON lacks.

        :raises ValueError: if it cannot be encoded for another reason: it contains itself.
        """
        encoder = type(self.encoder)(ensure_ascii=False)
        return encoder.encode(json.loads(encoder.encode(item), parse_constant=lambda name: None))


def escaped(text: str) -> str:
    """Return a text with escapes in the place of half characters."""
    return text.encode("utf-8", "backslashreplace").decode()


class _Lines:
    """A file that holds whole lines only, each as soon as it is written, even if the process is killed."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb", buffering=0)
        self._end = 0

    def write(self, line: bytes) -> None:
        """Add a line, or nothing if the disk cannot take all of it.

        :raises OSError: if the disk cannot take it.
        """
        left = memoryview(line)
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError:
            self._file.seek(self._end)
            self._file.truncate()
            raise
        self._end += len(line)

    def close(self) -> None:
        self._file.close()
