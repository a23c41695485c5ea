"""An example project: spiders that crawl the bookshop."""
