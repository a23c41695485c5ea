"""A fresh process for each crawl: multiprocessing's spawn and a CrawlerProcess in the child.

``python -m bench.fresh AT_ONCE`` in the project's folder; see :mod:`bench.orders` for what it reads.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor

from bench.orders import DONE, parse_order

LOG_FILE = "fresh.log"


def crawl(spider: str, shop: str, n: int) -> None:
    """Run one crawl to its end; called in the child."""
    from scrapy.crawler import CrawlerProcess  # noqa: PLC0415 - the parent has no use for it
    from scrapy.utils.project import get_project_settings  # noqa: PLC0415

    settings = get_project_settings()
    settings.set("LOG_FILE", LOG_FILE)
    process = CrawlerProcess(settings)
    process.crawl(spider, shop=shop, n=str(n))
    process.start()


def in_child(spider: str, shop: str, n: int) -> None:
    """Start a child for one crawl and wait until it has ended."""
    child = multiprocessing.get_context("spawn").Process(target=crawl, args=(spider, shop, n))
    child.start()
    child.join()


def main(at_once: int) -> None:
    """Crawl what is ordered until there is nobody left who orders."""
    with ThreadPoolExecutor(at_once) as slots:
        for line in sys.stdin:
            order = parse_order(line)
            crawls = [slots.submit(in_child, order.spider, order.shop, n) for n in order.numbers()]
            for each in crawls:
                each.result()
            print(DONE, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
