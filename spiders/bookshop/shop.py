"""Where the shop is."""

from __future__ import annotations

import os

ADDRESS = os.environ.get("REACTORHUB_DEMO_SITE") or "http://127.0.0.1:6801"
"""The shop's address. A hub that serves the shop sets the variable before it imports the spiders.

Without the variable, as under ``scrapy crawl``, the address is the one in the shipped ``schedule.yaml``.
"""
