"""An engine whose crawls have a process of their own, forked from one that has imported Scrapy already."""
