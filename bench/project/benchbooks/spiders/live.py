"""Crawls that are under way, and do nothing: what else costs something can be measured beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from benchbooks.spiders.one import OneSpider


class LiveSpider(OneSpider):
    """Fetches its page, and then waits until it is cancelled."""

    name = "live"

    async def start(self) -> AsyncIterator[Any]:
        async for request in super().start():
            yield request
        await asyncio.Event().wait()


class LiveStatsSpider(LiveSpider):
    """The same, and sends its stats every second."""

    name = "live_stats"
    custom_settings: ClassVar[dict[str, Any]] = {
        "EXTENSIONS": {"reactorhub.spiderkit.StatsUploader": 500},
        "STATSUPLOADER_UPLOAD_MODE": "UPLOAD_INTERVAL",
        "STATSUPLOADER_UPLOAD_INTERVAL": 1,
        "STATSUPLOADER_GEN_SPIDERID": lambda spider: spider.page,
    }
