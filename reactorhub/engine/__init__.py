"""The interface to whatever crawls, and its implementation with Scrapy."""
