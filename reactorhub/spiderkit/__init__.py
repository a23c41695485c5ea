"""What Scrapy projects import from the hub. It also works without a hub, under plain ``scrapy crawl``.

Nothing here imports another package of reactorhub. Nothing imports txredisapi before the first connection:
its import would install a reactor, and Scrapy could no longer install the one that the settings name.
"""
