"""Parts of spiders that will not end when told, shared by the tests that tell them to."""

STUBBORN = """
    import asyncio, time
    import scrapy
    from scrapy.utils.defer import deferred_to_future
    from twisted.internet.defer import Deferred
    from twisted.internet.threads import deferToThread

    class Stubborn:
        async def process_item(self, item):
            while True:
                try:
                    await asyncio.sleep(600)
                except asyncio.CancelledError:
                    pass

    class Waiting:
        def open_spider(self, spider):
            return Deferred()
"""
