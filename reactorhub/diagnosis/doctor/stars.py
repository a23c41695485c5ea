"""What ``from module import *`` brings from modules beyond the project, as far as a rule is about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache

from reactorhub.diagnosis.doctor.beyond import PATCHES, PROCESS_WIDE
from reactorhub.diagnosis.doctor.blocking import BLOCKING, CLIENTS
from reactorhub.diagnosis.doctor.files import FILE_CALLS
from reactorhub.diagnosis.doctor.imports import STALE
from reactorhub.diagnosis.doctor.kinds import words

_SCRAPY = words(
    "scrapy.Spider scrapy.Request scrapy.FormRequest scrapy.Selector scrapy.Item scrapy.Field "
    "scrapy.spiders.Spider scrapy.spiders.CrawlSpider scrapy.spiders.Rule scrapy.spiders.SitemapSpider "
    "scrapy.spiders.XMLFeedSpider scrapy.spiders.CSVFeedSpider"
)


def brings(module: str, name: str) -> bool:
    """Return whether a star import of this module brings this name, and some rule is about it."""
    return name in _names().get(module, ())


@cache
def _names() -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in _known():
        parts = path.replace("()", "").replace("[]", "").split(".")
        for size in range(1, len(parts)):
            found[".".join(parts[:size])].add(parts[size])
    return dict(found)


def _known() -> Iterator[str]:
    tables: tuple[Iterable[str], ...] = (BLOCKING, PROCESS_WIDE, PATCHES, FILE_CALLS, STALE, _SCRAPY)
    for each in tables:
        yield from each
    for client in CLIENTS:
        yield from client.makers
