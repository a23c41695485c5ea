"""The orders that the two script contenders take on standard input, one a line."""

from __future__ import annotations

from dataclasses import dataclass

DONE = "done"


@dataclass(frozen=True, slots=True)
class Order:
    """Crawl ``spider`` of ``shop`` ``count`` times, with ``n`` from ``first`` on."""

    spider: str
    shop: str
    first: int
    count: int

    def line(self) -> str:
        """Return the line that says so."""
        return f"{self.spider} {self.shop} {self.first} {self.count}\n"

    def numbers(self) -> range:
        """Return the numbers of all its crawls."""
        return range(self.first, self.first + self.count)


def parse_order(line: str) -> Order:
    """Read a line back.

    :raises ValueError: if it is none.
    """
    spider, shop, first, count = line.split()
    return Order(spider, shop, int(first), int(count))
