"""The items file of a run: the lowest of all feeds, with every option of its own."""

from __future__ import annotations

from typing import Any

from scrapy.exporters import JsonLinesItemExporter
from scrapy.settings import Settings
from scrapy.utils.python import to_bytes

from .private import serialized_fields

FORMAT = "reactorhub_jsonlines"


class ItemLines(JsonLinesItemExporter):
    """JSON Lines in UTF-8. What UTF-8 cannot hold, such as half a character, is escaped as in JSON."""

    def export_item(self, item: Any) -> None:
        """Write an item as one line."""
        fields = dict(serialized_fields(self, item))
        self.file.write(to_bytes(self.encoder.encode(fields) + "\n", "utf-8", "backslashreplace"))


def set_own_feed(settings: Settings, path: str) -> str:
    """Let the items go to this file unless the project says where they go; return the feed's name.

    A feed's name is a format string: a percent sign in it is written twice.
    """
    name = path.replace("%", "%%")
    settings["FEED_EXPORTERS_BASE"][FORMAT] = ItemLines
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
    settings.set("FEEDS", {name: options}, priority="default")
    return name
