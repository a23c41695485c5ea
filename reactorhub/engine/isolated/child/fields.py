"""Counts the items of a crawl that have a field, for expectations about fields.

The hub's own process and isolated ones share this module: it runs in every version of Scrapy from 2.11 on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from itemadapter import ItemAdapter
from scrapy import signals
from scrapy.crawler import Crawler

_log = logging.getLogger("reactorhub.fields")


class FieldCounter:
    """Counts into the crawl's own stats. Each field starts at 0 when the spider opens.

    An item has a field if the field's value is not empty. None is empty, and so are texts, lists and mappings
    of length 0. The values 0 and False are not empty. An item that raises when it is read harms nothing.
    """

    def __init__(self, crawler: Crawler, fields: Iterable[str], prefix: str) -> None:
        """Connect to a crawl that has not begun. The stat of a field is ``prefix`` and its name."""
        self._crawler = crawler
        self._fields = {field: prefix + field for field in fields}
        self._warned = False
        if self._fields:
            crawler.signals.connect(self._opened, signals.spider_opened)
            crawler.signals.connect(self._scraped, signals.item_scraped)

    def _opened(self) -> None:
        for stat in self._fields.values():
            self._crawler.stats.set_value(stat, 0)

    def _scraped(self, item: Any) -> None:
        for field, stat in self._fields.items():
            if self._has(item, field):
                self._crawler.stats.inc_value(stat)

    def _has(self, item: Any, field: str) -> bool:
        try:
            return not is_empty(found(item, field))
        except BaseException as error:  # noqa: BLE001 - an item may run code of the project
            if not self._warned:
                self._warned = True
                kind = type(error).__name__
                _log.warning("an item raised %s when it was read; it counts as one without %s", kind, field)
            return False


def found(item: Any, field: str) -> Any:
    """Return the value of an item's field, or None. Dots in the name lead into nested values.

    Items are what itemadapter supports: mappings, Items, dataclasses, attrs and pydantic objects.
    """
    known = ItemAdapter.is_item(item)
    holder: Any = ItemAdapter(item) if known else item if isinstance(item, Mapping) else {}
    if field in holder or "." not in field:
        return holder.get(field)
    outer, _, inner = field.partition(".")
    return found(holder.get(outer), inner)


def is_empty(value: Any) -> bool:
    """Return whether a value of an item is empty: None, or a collection or text of length 0."""
    return value is None or (isinstance(value, (str, bytes, Mapping, Sequence, Set)) and not len(value))
