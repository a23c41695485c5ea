"""What stands at the root logger in the place of Scrapy's handler, and holds for the log of its owner."""

from __future__ import annotations

import logging


class RootHandler(logging.NullHandler):
    """Stands where Scrapy's root handler stands under ``scrapy crawl``: code counts on one being there.

    It writes nothing. The level, the filters and the formatter that a run gives it hold for the run's log.
    """

    def reset(self) -> None:
        """Forget what it was given: ``scrapy crawl`` makes a new handler at this point."""
        self.setLevel(logging.NOTSET)
        self.setFormatter(None)
        self.filters.clear()

    def lets_through(self, record: logging.LogRecord, level: int) -> bool:
        """Return whether a record is to be written. ``level`` is the level where it was given none."""
        if record.levelno < (self.level or level):
            return False
        try:
            return bool(self.filter(record))
        except BaseException:  # noqa: BLE001 - the filter is the project's
            return True
