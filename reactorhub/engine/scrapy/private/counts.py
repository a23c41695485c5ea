"""Lets a crawl's stats show the number of its log records at any moment, as Scrapy's LogCount does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_READING = ("get_value", "get_stats")


def count_live(stats: Any, counts: Mapping[str, int]) -> None:
    """Set ``log_count/...`` whenever the stats are read. So a record itself costs nothing.

    :param counts: the number of records for each level name, which goes on counting.
    """
    shown: dict[str, int] = {}

    def show() -> None:
        for level, count in tuple(counts.items()):
            if shown.get(level) != count:
                shown[level] = count
                stats.set_value(f"log_count/{level}", count)

    for name in _READING:
        reading = _showing(getattr(stats, name), show)
        setattr(stats, name, reading)
        setattr(stats, f"_cached_{name}", reading)  # StatsCollector looks there first


def _showing(read: Callable[..., Any], show: Callable[[], None]) -> Callable[..., Any]:
    def reading(*args: Any, **kwargs: Any) -> Any:
        show()
        return read(*args, **kwargs)

    return reading
