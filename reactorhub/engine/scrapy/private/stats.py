"""Replaces methods of one crawl's stats collector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

Call = Callable[..., Any]

_READING = ("get_value", "get_stats")
_WRITING = ("set_value", "set_stats", "inc_value", "max_value", "min_value", "clear_stats")
_ALL = (*_READING, *_WRITING, "open_spider", "close_spider")


def count_live(stats: Any, counts: Mapping[str, int]) -> None:
    """Set ``log_count/...`` whenever the stats are read, as LogCount does. So a record itself costs nothing.

    :param counts: the number of records for each level name, which goes on counting.
    """
    shown: dict[str, int] = {}

    def show() -> None:
        for level, count in tuple(counts.items()):
            if shown.get(level) != count:
                shown[level] = count
                stats.set_value(f"log_count/{level}", count)

    for name in _READING:
        _replace(stats, name, _showing(getattr(stats, name), show))


def contain_stats(stats: Any, contain: Callable[[Call], Call]) -> None:
    """Contain what a collector does at the close, and all it does if it is of the project's own class.

    The close dumps all stats, and their texts come from any class.
    """
    own = not type(stats).__module__.startswith("scrapy.")
    for name in _ALL if own else ("close_spider",):
        _replace(stats, name, contain(getattr(stats, name)))


def _replace(stats: Any, name: str, call: Call) -> None:
    """Replace a method. Scrapy's collector keeps each under a second name once it has been looked up."""
    with suppress(AttributeError):  # a class of the project's own may have slots
        setattr(stats, name, call)
        setattr(stats, f"_cached_{name}", call)


def _showing(read: Call, show: Callable[[], None]) -> Call:
    def reading(*args: Any, **kwargs: Any) -> Any:
        show()
        return read(*args, **kwargs)

    return reading
