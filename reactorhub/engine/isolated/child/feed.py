"""The items file of a run: the lowest of all feeds, with every option of its own."""

from __future__ import annotations

from typing import Any

from scrapy.exporters import JsonLinesItemExporter
from scrapy.extensions import feedexport
from scrapy.settings import Settings

FORMAT = "jsonlines"


class ItemLines(JsonLinesItemExporter):
    """JSON Lines in UTF-8. What UTF-8 cannot hold, such as half a character, is escaped as in JSON."""

    def __init__(self, file: Any, **kwargs: Any) -> None:
        super().__init__(file, **kwargs)
        encode = self.encoder.encode
        self.encoder.encode = lambda o: escaped(encode(o))  # type: ignore[method-assign]


def escaped(text: str) -> str:
    """Return a text with escapes in the place of half characters."""
    return text.encode("utf-8", "backslashreplace").decode()


class OwnFeed:
    """The feed that the hub gives to a run. The project takes its place by any feed of its own."""

    def __init__(self, path: str) -> None:
        """:param path: of the file, absolute; it may hold any character."""
        self._path = path
        self._name = path.replace("%", "%%")  # the name of a feed is a format string

    def offer(self, settings: Settings) -> None:
        """Set it below all that a project can say."""
        options = {
            "format": FORMAT,
            "encoding": "utf-8",
            "overwrite": True,
            "store_empty": True,
            "fields": None,
            "indent": None,
            "batch_item_count": 0,
            "uri_params": None,
            "item_export_kwargs": {},
        }
        settings.set("FEEDS", {self._name: options}, priority="default")

    def settle(self, settings: Settings) -> None:
        """Take it back if there are others; if it is the only one, nothing else that a project says of feeds
        may touch it."""
        feeds = settings.getdict("FEEDS")
        if self._name not in feeds:
            return
        if len(feeds) > 1:
            del feeds[self._name]
            settings.set("FEEDS", feeds, priority="cmdline")
            return
        settings.set("FEED_STORAGES", {"": _storage(self._path)}, priority="cmdline")
        settings.set("FEED_EXPORTERS", {FORMAT: ItemLines}, priority="cmdline")


def _storage(path: str) -> type[feedexport.FileFeedStorage]:
    """Return a storage for this path alone: versions of Scrapy differ in what they make of a percent sign."""

    class FileFeedStorage(feedexport.FileFeedStorage):  # its name is part of a stat
        def __init__(self, uri: str, *, feed_options: Any = None) -> None:
            super().__init__(path, feed_options=feed_options)

    return FileFeedStorage
