"""Counts in how many items of a crawl a field is there, for expectations on it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from itemadapter import ItemAdapter
from scrapy import signals
from scrapy.crawler import Crawler

_log = logging.getLogger(__name__)


class FieldCounter:
    """Counts into the crawl's own stats, each field from 0 on as soon as the spider opens.

    A field is there if it is not empty: None, and texts, lists and mappings with nothing in them, are; 0 and
    False are not. Whatever an item does when it is looked at, the crawl goes on.
    """

    def __init__(self, crawler: Crawler, fields: Iterable[str], prefix: str) -> None:
        """Connect to a crawl that has not begun. The stat of a field is ``prefix`` and its name."""
        self._crawler = crawler
        self._fields = {field: prefix + field for field in fields}
        if self._fields:
            crawler.signals.connect(self._opened, signals.spider_opened)
            crawler.signals.connect(self._scraped, signals.item_scraped)

    def _opened(self) -> None:
        for stat in self._fields.values():
            self._set(stat, 0)

    def _scraped(self, item: Any) -> None:
        for field, stat in self._fields.items():
            if self._has(item, field):
                self._crawler.stats.inc_value(stat)

    def _set(self, stat: str, value: int) -> None:
        self._crawler.stats.set_value(stat, value)

    def _has(self, item: Any, field: str) -> bool:
        try:
            return not is_empty(found(item, field))
        except Exception as error:  # noqa: BLE001 - an item is spider code
            _log.warning("an item cannot be looked at, and counts as one without %s: %r", field, error)
            return False


def found(item: Any, field: str) -> Any:
    """Return what an item has under a name, or along a path of names with dots between; None if nothing."""
    known = ItemAdapter.is_item(item)
    holder: Any = ItemAdapter(item) if known else item if isinstance(item, Mapping) else {}
    if field in holder or "." not in field:
        return holder.get(field)
    outer, _, inner = field.partition(".")
    return found(holder.get(outer), inner)


def is_empty(value: Any) -> bool:
    """Whether a value of an item says nothing."""
    return value is None or (isinstance(value, (str, bytes, Mapping, Sequence, Set)) and not len(value))
