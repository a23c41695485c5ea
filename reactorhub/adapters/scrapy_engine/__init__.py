"""Crawls by Scrapy on the shared reactor: the only room that imports scrapy."""

from reactorhub.adapters.scrapy_engine.engine import ScrapyEngine

__all__ = ["ScrapyEngine"]
