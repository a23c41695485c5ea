"""The bare script: a CrawlerRunner with Scrapy's default settings and a log file, so many crawls at once.

``python -m bench.bare AT_ONCE`` in the project's folder; see :mod:`bench.orders` for what it reads.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

from scrapy.crawler import CrawlerRunner
from scrapy.utils.log import configure_logging
from scrapy.utils.project import get_project_settings
from twisted.internet import asyncioreactor
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.protocols.basic import LineOnlyReceiver

from bench.orders import DONE, Order, parse_order

LOG_FILE = "bare.log"


class Orders(LineOnlyReceiver):
    """Obeys one order after the other; ends the process with its standard input."""

    delimiter = b"\n"

    def __init__(self, obey: Callable[[Order], Deferred[Any]], stop: Callable[[], None]) -> None:
        self._obey = obey
        self._stop = stop

    def lineReceived(self, line: bytes) -> None:
        """Obey, then say so."""
        self._obey(parse_order(line.decode())).addCallback(lambda _: self.sendLine(DONE.encode()))

    def connectionLost(self, reason: object = None) -> None:
        """Nobody is left to give orders."""
        self._stop()


def main(at_once: int) -> None:
    """Crawl what is ordered until there is nobody left who orders."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)
    from twisted.internet import reactor, stdio  # noqa: PLC0415 - not before the reactor is installed

    # Scrapy's documented way for a script with a log file of its own, and the cheapest one.
    configure_logging(install_root_handler=False)
    logging.basicConfig(
        filename=LOG_FILE, level=logging.DEBUG, format="%(asctime)s [%(name)s] %(levelname)s: %(message)s"
    )
    runner, slots = CrawlerRunner(get_project_settings()), DeferredSemaphore(at_once)

    def obey(order: Order) -> Deferred[Any]:
        crawls = [slots.run(runner.crawl, order.spider, shop=order.shop, n=str(n)) for n in order.numbers()]
        return DeferredList(crawls)

    stdio.StandardIO(Orders(obey, reactor.stop))
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
