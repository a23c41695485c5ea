"""A crawl that asks for no page: it is open for as long as it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import scrapy


class PauseSpider(scrapy.Spider):
    """Stays open for so many ``seconds``."""

    name = "pause"

    def __init__(self, seconds: str = "0", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seconds = float(seconds)

    async def start(self) -> AsyncIterator[Any]:
        await asyncio.sleep(self.seconds)
        if self.seconds < 0:
            yield None  # never: but it is what makes this a spider's start
