"""What the feed uses of Scrapy that a new version may change."""

from __future__ import annotations

import inspect
from importlib import import_module
from operator import attrgetter
from typing import Any

import pytest

from reactorhub.spiderkit.feed.private import ENTRY, RELIED_ON
from tests.spiderkit.feed.crawl_cases import CrawlCase
from tests.support.shop_project import until


@pytest.mark.parametrize(("place", "takes", "reason"), RELIED_ON, ids=[each[0] for each in RELIED_ON])
def test_part_is_there(place: str, takes: tuple[str, ...], reason: str) -> None:
    """Each method exists, and takes these parameters."""
    module, _, name = place.partition(":")
    found: Any = attrgetter(name)(import_module(module))
    assert tuple(inspect.signature(found).parameters) == takes, f"{place}: {reason}"


class HeldTests(CrawlCase):
    """What objects of Scrapy have while a spider is open."""

    async def test_slot_of_the_engine(self) -> None:
        """It knows the requests that were sent, and can be told to look whether the spider is idle."""
        self.push("/hold/1")
        crawler, _ = self.begin()
        await until(lambda: self.pages.held)
        slot: Any = crawler.engine._slot  # type: ignore[union-attr]
        assert [ENTRY in request.meta for request in slot.inprogress] == [True]
        assert callable(slot.nextcall.schedule)
