"""The Scrapy extension that sends a spider's stats to a place where all stats of all nodes can be read."""
