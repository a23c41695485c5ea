"""Crawls by Scrapy on the shared reactor: the only room that imports scrapy."""

from reactorhub.adapters.scrapy_engine.engine import ScrapyEngine
from reactorhub.adapters.scrapy_engine.process import prepare_logging

__all__ = ["ScrapyEngine", "prepare_logging"]
