"""Names that never resolve delay their own run only."""

from __future__ import annotations

import time
from pathlib import Path

from tests.integration.hubs import Hub, write_project

CONFIG = """
    hub: {shutdown_grace: 1s, demo_site: "tcp:0:interface=127.0.0.1", projects: {lab: {path: lab}}}
    schedules: {}
"""
SPIDERS = """
    import socket, time
    import scrapy

    look_up = socket.getaddrinfo

    def dead_server(host, *args, **options):
        if host.endswith(".dead.example"):
            time.sleep(40)
        return look_up(host, *args, **options)

    socket.getaddrinfo = dead_server  # what a name server that does not answer does

    class Lost(scrapy.Spider):
        name = "lost"
        custom_settings = {"CONCURRENT_REQUESTS": 200, "DOWNLOAD_TIMEOUT": 60, "RETRY_ENABLED": False}

        async def start(self):
            for number in range(200):
                yield scrapy.Request(f"http://{self.who}-{number}.dead.example/")

    class Good(scrapy.Spider):
        name = "good"

        async def start(self):
            yield scrapy.Request(self.shop.replace("127.0.0.1", "localhost") + "/book/1.html")

        def parse(self, response):
            yield {"url": response.url}
"""


def test_a_neighbour_s_name_is_found_at_once(tmp_path: Path) -> None:
    """Beside four crawls with 200 dead names each a neighbour is done soon, and the hub ends in time."""
    hub = Hub(tmp_path, CONFIG)
    write_project(hub.folder / "lab", lab=SPIDERS)
    with hub:
        lost = [hub.order("lost", {"who": f"w{n}"}) for n in range(4)]
        for run_id in lost:
            hub.wait_state(run_id, "running")
        time.sleep(0.5)
        begin = time.monotonic()
        run = hub.wait_final(hub.order("good"))
        assert run["stats"]["item_scraped_count"] == 1
        assert time.monotonic() - begin < 3
        assert hub.terminate(within=8) in (0, -15, 143)
