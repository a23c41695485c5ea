"""The pipeline that each item passes."""

from __future__ import annotations

from typing import Any

from itemadapter import ItemAdapter
from scrapy.exceptions import DropItem

MAX_PRICE = 1000.0  # euros; the dearest book costs a twentieth of that


class PriceCheck:
    """Drops items with an impossible price. The page has changed then, or the spider reads it wrongly."""

    def process_item(self, item: Any) -> Any:
        """Return the item, or drop it if its ``price`` is not above 0 and at most 1000 euros."""
        price = ItemAdapter(item).get("price")
        if price is not None and not 0 < price <= MAX_PRICE:
            raise DropItem(f"the price {price!r} cannot be right; look at {ItemAdapter(item).get('url')}")
        return item
