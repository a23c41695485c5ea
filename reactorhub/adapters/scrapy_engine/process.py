"""What Scrapy wants of the process as a whole, done once instead of by each crawl."""

from __future__ import annotations

from functools import cache

from scrapy.utils.log import configure_logging


@cache
def prepare_logging() -> None:
    """Route warnings and Twisted's errors into the standard library's logging, and quieten chatty libraries.

    Each call of Scrapy's own function adds another observer to Twisted's log, so it is made only once. The
    root handler stays out: every new crawl would replace it for the whole process.
    """
    configure_logging({"LOG_INSTALL_ROOT_HANDLER": False})
