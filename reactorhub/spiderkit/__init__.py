"""Scrapy parts for projects of users."""
