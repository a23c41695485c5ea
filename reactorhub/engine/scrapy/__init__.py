"""Crawls by Scrapy on the shared reactor: the only room that imports scrapy."""

from reactorhub.engine.scrapy.engine import ScrapyEngine
from reactorhub.engine.scrapy.process import prepare_logging

__all__ = ["ScrapyEngine", "prepare_logging"]
