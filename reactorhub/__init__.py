"""One Twisted process that runs Scrapy spiders on a schedule and remembers what happened."""

__version__ = "0.1.0"
