"""Crawls with Scrapy on the shared reactor. No other package imports Scrapy."""

from reactorhub.engine.scrapy.engine import ScrapyEngine
from reactorhub.engine.scrapy.process import prepare_logging

__all__ = ["ScrapyEngine", "prepare_logging"]
