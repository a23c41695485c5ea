"""The seam to whatever crawls, and Scrapy behind it."""
