"""What each item passes on its way out."""

from __future__ import annotations

from typing import Any

from itemadapter import ItemAdapter
from scrapy.exceptions import DropItem

DEAREST = 1000.0


class PriceCheck:
    """Drops items whose price cannot be right: a page has changed, or was read wrongly."""

    def process_item(self, item: Any) -> Any:
        """Return the item, or drop it if its ``price`` is not above 0 and at most 1000 euros."""
        price = ItemAdapter(item).get("price")
        if price is not None and not 0 < price <= DEAREST:
            raise DropItem(f"the price {price!r} cannot be right; look at {ItemAdapter(item).get('url')}")
        return item
